"""What PyTorch's MPS backend can do, by torch version; read from the wheels, never from a Mac."""
