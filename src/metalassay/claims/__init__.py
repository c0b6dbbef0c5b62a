"""What guides claim about training on Macs, and what decides each claim."""
