"""Read the API of released wheels from their source, without importing or running anything."""
