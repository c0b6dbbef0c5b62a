"""Trains in another environment for a few steps, to learn whether what is installed there works together.

``child`` is the program that the other environment's Python runs; ``parent`` starts it and reads its
answer. The child needs nothing of ours, so that it runs wherever the training packages are installed.
``recorded`` has what became of the sets that it was executed on.
"""
