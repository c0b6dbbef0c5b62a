"""The experiments that decide claims: their arms, and the run that measures them on this machine."""
