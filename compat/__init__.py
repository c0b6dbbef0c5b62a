"""Test whether our data on known bugs is right about the versions that are installed."""
