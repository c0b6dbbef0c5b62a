"""Predict what a program would meet on MPS, from its operators recorded on the CPU.

``run`` starts the program under the recorder (``child``, ``tracing``), ``predict`` evaluates the
trace for each torch version, and ``text`` prints the result. Nothing is imported here: pytest loads
the plugin of this package at every start.
"""
