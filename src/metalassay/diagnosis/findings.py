"""What a diagnosis is made of."""

from __future__ import annotations

from dataclasses import dataclass

BUG, VARIABLE, MPS, METADATA = "known bug", "environment variable", "MPS", "metadata"
SEVERITIES = ("error", "warning", "info")
"""The worst first: breaks what everybody does; can be fixed and is worth it; worth knowing."""


@dataclass(frozen=True)
class Finding:
    """One thing found. ``fix`` is a command, or empty; ``fixes`` are in the order to try them.

    ``id`` is a known bug's or a rule's and stays the same; ``kind`` says which of the two it is.
    """

    id: str
    kind: str
    severity: str
    title: str
    observed: str
    expected: str
    fix: str
    link: str
    fixes: tuple[str, ...] = ()
