"""What `metalassay run` brings into the Python processes that it starts: patches, guard, steps, memory."""
