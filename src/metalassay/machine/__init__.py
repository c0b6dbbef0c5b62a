"""What this computer is, what its chip can do, and how it is doing now. Imports no torch."""
