"""Train the workloads as a user would: data, the training loop, checkpoints and decoding.

The command line starts ``python -m metalassay.training JSON`` in a process of its own.
"""
