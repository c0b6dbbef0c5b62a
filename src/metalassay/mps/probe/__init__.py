"""Find out whether MPS works on this machine, by computing on it in a child process.

``probe()`` returns a ``Probe``. Neither this package nor ``probe()`` imports torch into the process
that calls it.
"""

from metalassay.mps.probe.parent import (
    DEAD,
    NO_TORCH,
    NOT_ADVERTISED,
    NOT_BUILT,
    STATES,
    UNFINISHED,
    USABLE,
    WRONG,
    Probe,
    probe,
)

__all__ = [
    "DEAD",
    "NOT_ADVERTISED",
    "NOT_BUILT",
    "NO_TORCH",
    "STATES",
    "UNFINISHED",
    "USABLE",
    "WRONG",
    "Probe",
    "probe",
]
