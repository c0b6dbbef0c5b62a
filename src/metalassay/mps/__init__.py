"""What the MPS backend of PyTorch does, by version and on this machine. Nothing here loads torch."""
