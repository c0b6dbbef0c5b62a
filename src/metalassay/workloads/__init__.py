"""The timed workloads: recipes, models, counts of their work, and the check against the CPU."""
