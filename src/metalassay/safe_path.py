"""Starts a Python of somebody else without the current folder on its path.

``python -c`` and ``python -m`` search it first: a user's json.py there would be taken for the module json.
"""

DROP = "import sys; sys.path[:] = [folder for folder in sys.path if folder]\n"
"""How a program for ``python -c`` begins. Python 3.11 has -P for that; others that we ask are older."""

VARIABLES = {"PYTHONSAFEPATH": "1"}
"""The same for a command that people also type, such as ``python -m pip``; read since Python 3.11."""
