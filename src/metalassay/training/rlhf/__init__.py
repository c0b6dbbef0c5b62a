"""RLHF with TRL on a small machine: tiny models and data made from a seed, in whatever release is installed."""
