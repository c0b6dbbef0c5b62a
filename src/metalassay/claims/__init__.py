"""Claims that guides make about training on Macs, and the evidence that decides each."""
