"""Which operators have a kernel on MPS, in every release of torch since 2.0.

``oracle`` answers for one release, ``history`` across releases, and ``census`` counts what falls
back to the CPU while a program runs.
"""

from metalassay.mps.operators.fallback_census import Census, Fallback, Step, census

__all__ = ["Census", "Fallback", "Step", "census"]
