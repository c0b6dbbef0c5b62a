"""`pytest --assay`: machine, conditions, versions and identities beside any project's benchmarks."""
