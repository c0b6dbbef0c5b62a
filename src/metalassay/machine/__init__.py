"""This computer: its hardware, the limits of its chip, and its current state. Imports no torch."""
