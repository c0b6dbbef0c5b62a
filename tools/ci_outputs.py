"""What a step of a workflow leaves for others: outputs, lines on the job's page, notices. Standard library only."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def output(name: str, value: object) -> None:
    """Give the step an output: JSON on one line, as ``fromJSON`` reads it; printed where there is no workflow."""
    line = f"{name}={json.dumps(value, separators=(',', ':'))}\n"
    if not _append("GITHUB_OUTPUT", line):
        sys.stdout.write(line)


def summary(markdown: str) -> None:
    """Add text to the job's page; printed where there is no workflow."""
    if not _append("GITHUB_STEP_SUMMARY", markdown.rstrip() + "\n\n"):
        sys.stdout.write(markdown.rstrip() + "\n")


def notice(kind: str, text: str) -> None:
    """Print a line that the run's page shows: ``kind`` is notice, warning or error."""
    # As the runner's own toolkit escapes a message, so that no text is a second command.
    safe = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    sys.stdout.write(f"::{kind}::{safe}\n")


def _append(variable: str, text: str) -> bool:
    path = os.environ.get(variable)
    if not path:
        return False
    with Path(path).open("a", encoding="utf-8") as stream:
        stream.write(text)
    return True
