"""What is timed: the recipes, their models, the count of their work, the check against the CPU."""
