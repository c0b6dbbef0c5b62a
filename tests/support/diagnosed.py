"""Environments to diagnose, and recorded answers of the MPS probe."""

from __future__ import annotations

import json
from pathlib import Path

from metalassay.diagnosis import doctor, findings
from metalassay.mps.probe import parent as probe

DATA = Path(__file__).parents[1] / "data" / "probe"
GUIDE = {"python": "3.11.7", "accelerate": "1.8.0", "torch": "2.5.1", "transformers": "4.52.4"}
HEALTHY = {
    "python": "3.11.7",
    "accelerate": "1.15.0",
    "torch": "2.13.0+cpu",
    "transformers": "5.23.0",
    "trl": "1.16.0",
    "datasets": "5.2.0",
    "huggingface-hub": "2.4.0",
}


def answered(name: str) -> probe.Probe:
    """Return what the probe makes of a file of answers."""
    lines = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text("utf-8").splitlines()]
    end = lines.pop()
    return probe.classify(
        probe.Answer(tuple(lines), end["returncode"], end["seconds"], end["stderr"])
    )


def by_id(diagnosis: doctor.Diagnosis) -> dict[str, findings.Finding]:
    """Return the findings by their ids."""
    return {finding.id: finding for finding in diagnosis.findings}
