"""What `metalassay run` does to a program: limits of CPU time and memory, and the monitor."""
