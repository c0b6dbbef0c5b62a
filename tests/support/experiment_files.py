"""Files of experiments that no machine measured: of a Mac, and of a machine that is none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metalassay.claims import evidence
from metalassay.claims.evidence import Evidence, Figures
from metalassay.fields import Field
from metalassay.machine import hardware
from metalassay.machine.hardware import Hardware

MAC = Hardware(
    system="Darwin",
    release="macOS 15.1",
    machine="arm64",
    chip="Apple M4",
    model="Mac16,10",
    physical_cores=10,
    performance_cores=4,
    efficiency_cores=6,
    logical_cores=10,
    gpu="Apple M4",
    gpu_cores=10,
    memory_bytes=16 * 2**30,
    virtual=False,
    translated=False,
)
SERVER = Hardware(
    system="Linux",
    release="6.1.0",
    machine="x86_64",
    chip="Intel Xeon",
    model=None,
    physical_cores=2,
    performance_cores=None,
    efficiency_cores=None,
    logical_cores=2,
    gpu=None,
    gpu_cores=None,
    memory_bytes=24 * 2**30,
    virtual=True,
)
NOISE = (1.001, 0.999, 1.0, 1.002, 0.998, 1.001, 0.999, 1.0)


def figures(
    base: str, arm: str, what: str, ratio: float, *, level: float = 10.0, control: float = 1.0
) -> Figures:
    """Return eight rounds in which the arm takes ``ratio`` of the base, which is ``level`` in the mean."""
    return Figures(
        base,
        arm,
        what,
        [level * value for value in NOISE],
        [level * control * value for value in reversed(NOISE)],
        [level * ratio * value for value in NOISE[3:] + NOISE[:3]],
    )


def record(
    experiment: str,
    comparisons: Sequence[Figures],
    *,
    machine: Hardware = MAC,
    device: str = "mps",
    outcome: str = "",
    emulated: bool = False,
    marks: Sequence[str] = (),
    started: str = "2026-11-29T08:00:00+00:00",
) -> dict[str, Any]:
    """Return the document of a run."""
    return evidence.document(
        experiment=experiment,
        device=device,
        emulated=emulated,
        threads=4,
        figures=comparisons,
        started=started,
        seconds=40.0,
        versions={"python": "3.11.7", "torch": "2.13.0", "metalassay": "0.1.0"},
        machine=machine,
        marks=marks,
        outcome=outcome,
    )


def ran(experiment: str, *comparisons: Figures, **about: Any) -> Evidence:
    """Return a run as it is read."""
    return evidence.read(Field(record(experiment, comparisons, **about)), "run.json")


def write(folder: Path, document: dict[str, Any], name: str = "run.json") -> Path:
    """Write a document into a folder, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(document), "utf-8")
    return path


def pretend(monkeypatch: Any, machine: Hardware) -> None:
    """Let this process believe that it runs on a machine."""
    monkeypatch.setattr(hardware, "probe", lambda **_: machine)
