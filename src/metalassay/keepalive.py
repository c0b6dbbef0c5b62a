"""Tell `metalassay run` how far your own training loop is, and let it ask for a checkpoint."""
