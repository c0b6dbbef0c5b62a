"""The matrix of version sets: its rows, their locks and environments, and the run of each row."""
