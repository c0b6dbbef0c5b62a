"""What a program would meet on MPS, found out by running it on the CPU."""
