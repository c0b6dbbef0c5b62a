"""Work in processes of its own: workloads, functions, DataLoaders, the search for a batch size."""
