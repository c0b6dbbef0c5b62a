"""Time the workloads on this machine."""
