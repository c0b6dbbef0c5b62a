"""The result files: verdict files, benchmark runs and searches for the largest batch."""
