"""The file that `metalassay bench` leaves: one per run, of all devices, in the format of the benchmark suite.

It is named after the machine and the day, and holds no name and no path of its owner.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

from metalassay import files
from metalassay.errors import UserError, cannot_write
from metalassay.fields import FieldError
from metalassay.files import write_atomically
from metalassay.machine.hardware import Hardware
from metalassay.report.machines import identity
from metalassay.results import anonymise, load
from metalassay.results.measurement import Measurement

PREFIX = "metalassay-"
REHEARSAL = "rehearsal-"
"""Behind the prefix where mps was emulated."""
_FILLER = re.compile(r"\((?:r|tm|c)\)|\b(?:processor|cpu|with radeon.*)\b|@.*", re.IGNORECASE)
_RESERVED = 2**20  # bytes that must fit before minutes are spent


def merge(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one file of the suite's files, one for each device of a run.

    Machine, versions and conditions before are those of the first, the date and the conditions after those of
    the last. ``selftest.roofs`` has the measured peak of each device; ``selftest.checks`` are all that ran.
    """
    merged: dict[str, Any] = deepcopy(dict(documents[0]))
    about = merged["metalassay"]
    every = [document["metalassay"]["selftest"] for document in documents]
    proofs = [proof for proof in every if proof is not None]
    about["selftest"] = None  # an emulated device has none
    if proofs:
        about["selftest"] = {
            "checks": [check for proof in proofs for check in proof["checks"]],
            "roof": proofs[0]["roof"],
            "roofs": {proof["roof"]["device"]: proof["roof"] for proof in proofs},
        }
    last = documents[-1]
    about["conditions"]["after"] = last["metalassay"]["conditions"]["after"]
    merged["datetime"] = last["datetime"]
    merged["benchmarks"] = [one for document in documents for one in document["benchmarks"]]
    return merged


def strip(document: Mapping[str, Any]) -> str:
    """Return the text of a file without what identifies its owner. Raises ``UserError`` if that fails."""
    try:
        stripped = anonymise.strip(json.dumps(document).encode(), anonymise.of_this_machine())
    except FieldError as error:
        raise UserError(f"the result cannot be used: {error}", "metalassay selftest") from None
    return stripped.text


def stem(machine: Hardware, day: datetime, *, emulated: bool = False) -> str:
    """Return the name of a run's files without a suffix, as in "metalassay-apple-m4-10gpu-16gb-2026-11-28"."""
    parts = [_slug(machine.chip or machine.machine)]
    if machine.gpu_cores:
        parts.append(f"{machine.gpu_cores}gpu")
    elif cores := machine.physical_cores or machine.logical_cores:
        parts.append(f"{cores}core")
    if machine.memory_bytes:
        parts.append(f"{machine.memory_bytes / 2**30:.0f}gb")
    mark = REHEARSAL if emulated else ""
    return f"{PREFIX}{mark}{'-'.join(parts)}-{day:%Y-%m-%d}"


def _slug(text: str) -> str:
    words = re.findall(r"[a-z0-9]+", _FILLER.sub(" ", text).lower())
    return "-".join(words) or "unknown"


def prepare(folder: Path) -> None:
    """Make the folder and see whether a file of a run fits into it. Raises ``UserError`` if not."""
    try:
        files.make_folder(folder)
        place = folder / f".{PREFIX}room.part"  # one name, so that the next run clears it
        try:
            place.write_bytes(b"0" * _RESERVED)
        finally:
            place.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(folder, error, "name another folder with --output") from None


def free_name(folder: Path, name: str) -> str:
    """Return ``name``, or the first of NAME-2, NAME-3, … of which the folder has no file yet."""
    number, free = 1, name
    while (folder / f"{free}.json").exists():
        number += 1
        free = f"{name}-{number}"
    return free


def write(path: Path, text: str) -> None:
    """Write a file of a run, or nothing. Raises ``UserError`` where that is not possible."""
    try:
        write_atomically(path, text)
    except OSError as error:
        raise cannot_write(
            path, error, "free some space, or name another folder with --output"
        ) from None


def earlier(folder: Path, machine: Hardware, before: datetime) -> list[Measurement]:
    """Return what this machine measured in its last run whose file is in the folder; empty without one.

    Rehearsals are no runs. A file that cannot be read is passed over: it belongs to somebody else.
    """
    runs: dict[str, list[Measurement]] = {}
    for path in sorted(folder.glob(f"{PREFIX}*.json")):
        for content in load.read([path]):
            own = [
                one
                for one in content.measurements
                if identity(one.machine) == identity(machine)
                and not one.emulated
                and one.when < before
            ]
            if own:
                runs[path.name] = own
    if not runs:
        return []
    return max(runs.values(), key=lambda run: max(one.when for one in run))
