"""What is installed, here or in another environment, and what could be installed."""
