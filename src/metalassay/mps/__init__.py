"""What the MPS backend of each PyTorch release can do, and what MPS does on this machine."""
