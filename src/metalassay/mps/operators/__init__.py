"""Which operators have a kernel on MPS, in every release of torch."""
