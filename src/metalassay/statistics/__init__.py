"""The statistical rule of every comparison: Student's t, the interval and the sequential decision."""
