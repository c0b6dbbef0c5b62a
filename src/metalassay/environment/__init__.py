"""Installed packages here and in other environments, and the version sets of the matrix."""
