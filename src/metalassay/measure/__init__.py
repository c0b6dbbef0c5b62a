"""Measure inside a process: devices, clocks, warm-up and the self-test. Imports torch."""
