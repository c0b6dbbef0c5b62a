"""What `metalassay run` does to a program: it limits CPU time and memory, and logs the load."""
