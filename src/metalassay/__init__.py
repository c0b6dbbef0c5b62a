"""What PyTorch, accelerate and transformers really do on Apple silicon."""

__version__ = "0.1.0"
