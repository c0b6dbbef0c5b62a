"""Run work in child processes: workloads, functions, DataLoaders, the search for a batch size."""
