"""The marker of a row whose last run did not finish: `X.unfinished` beside the verdict file `X.json`.

A run that was interrupted or could not be installed leaves the verdict file of an earlier run as it
was. The marker says so, or a reader would take the earlier verdicts for those of today. A whole run
removes it; a marker that is older than the verdict file beside it means nothing.

noxfile.py imports this module in nox's own environment, as it does ``verdict_file``: importing it takes
the standard library and packaging.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from metalassay.fields import Field
from metalassay.files import write_atomically
from metalassay.machine.hardware import Hardware, as_dict, from_dict, probe

NAME = "metalassay.unfinished"
SCHEMA = f"{NAME}/1"
SUFFIX = ".unfinished"


@dataclass(frozen=True)
class Unfinished:
    """A run that began and left no verdicts.

    ``id``, ``requires`` and ``reason`` are those of the row. ``started`` is when the run began, in UTC,
    and ``why`` is one line, such as "interrupted". ``hardware`` is as much of the machine as is known,
    None where the marker does not name it.
    """

    id: str
    requires: tuple[str, ...]
    reason: str
    started: datetime
    why: str
    hardware: Hardware | None
    file: str


def path_of(verdicts: Path) -> Path:
    """Return where the marker of a verdict file is: `X.unfinished` beside `X.json`."""
    return verdicts.with_suffix(SUFFIX)


def write(
    verdicts: Path,
    version_set: Mapping[str, Any],
    started: datetime,
    why: str,
    machine: Mapping[str, object] | None = None,
) -> None:
    """Write the marker beside the verdict file, which stays as it is.

    ``version_set`` is the record of the row (``matrix.matrix_file.Row.record``), ``started`` when the run
    began (with its offset to UTC), and ``why`` one line. ``machine`` is where the row ran, as
    ``this_machine`` describes it; None means here. Raises ``OSError`` as the file system does.
    """
    record = {
        "schema": SCHEMA,
        "set": dict(version_set),
        "started": started.isoformat(timespec="seconds"),
        # An installer may name an index by its address, and that may have a password; people share reports.
        "why": re.sub(r"(?<=://)[^/@\s]+@", "", why),
        "hardware": dict(machine or this_machine()),
    }
    write_atomically(path_of(verdicts), json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def this_machine() -> dict[str, object]:
    """Return as much of the hardware as is known quickly, as a marker has it."""
    try:
        return as_dict(probe(gpu_too=False))  # on a Mac, the GPU takes seconds
    except ImportError:  # nox's own environment has no psutil, which only a Mac can do without
        system, _, release, _, machine, _ = platform.uname()
        return {"system": system, "release": release, "machine": machine}


def clear(verdicts: Path) -> None:
    """Remove the marker of a verdict file; it is no error if there is none."""
    path_of(verdicts).unlink(missing_ok=True)


def read(top: Field, file: str) -> Unfinished:
    """Read a parsed marker; ``file`` is its name as the report shows it.

    Raises ``FieldError`` for a missing field and a wrong type. The machine may be missing.
    """
    about = top.get("set")
    return Unfinished(
        id=about.get("id").name(),
        requires=tuple(requirement.name() for requirement in about.get("requires").each()),
        reason=about.get("reason").text(),
        started=top.get("started").moment(),
        why=top.get("why").name(),
        hardware=top.find("hardware").or_none(lambda machine: from_dict(machine.value)),
        file=file,
    )
