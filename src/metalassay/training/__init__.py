"""The workloads as a user runs them: data, the training loop, checkpoints and the governor.

``python -m metalassay.training JSON`` is what the command line starts in a process of its own.
"""
