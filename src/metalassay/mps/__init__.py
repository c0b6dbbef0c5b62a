"""What PyTorch's MPS backend can do by version, read from the wheels, and what it does here."""
