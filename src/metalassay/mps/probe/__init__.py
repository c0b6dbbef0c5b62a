"""Whether MPS works here, found out by working on it in a process of its own."""
