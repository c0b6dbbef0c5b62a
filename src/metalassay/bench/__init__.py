"""`metalassay bench` and `metalassay results`: measure this machine in minutes, and check what others measured.

The measuring is done by the benchmark suite in a process of its own; nothing here imports torch.
"""
