"""The file of one smoke test: the versions that were installed together, and which stages work there.

`metalassay matrix run --tag fresh` writes one for each row. Its layout and its schema are known here and
nowhere else. What the known bugs explain is not in the file; it is decided when the file is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from metalassay import files
from metalassay.bugs import Bug, matching, tracebacks
from metalassay.fields import Field, parse_json
from metalassay.files import write_atomically
from metalassay.machine.hardware import Hardware, from_dict
from metalassay.results.verdict_file import Origin

NAME = "metalassay.smoke"
SCHEMA = f"{NAME}/1"

STATUS = ("passed", "failed", "absent", "crashed", "not run")
"""What can become of a stage, in the words of ``smoke.parent``."""

_LAZY = "(look up to see its traceback): "

BROKEN = ("failed", "crashed")


@dataclass(frozen=True)
class StageResult:
    """What became of one stage: ``status`` is a word of ``STATUS``.

    ``error`` is the exception or the reason on one line, ``frames`` say where it was raised, the innermost
    last, as in "trl/trainer/grpo_trainer.py:12 __init__".
    """

    name: str
    status: str
    error: str = ""
    frames: tuple[str, ...] = ()

    @property
    def broken(self) -> bool:
        """Whether it began and did not end well."""
        return self.status in BROKEN

    def as_traceback(self) -> str:
        """Return the error as Python prints it, so that known bugs can be recognised in it."""
        lines = ["Traceback (most recent call last):"]
        for frame in self.frames:
            if where := re.fullmatch(r"(.+):(\d+) (.+)", frame):
                lines.append(f'  File "site-packages/{where[1]}", line {where[2]}, in {where[3]}')
        # What lazy modules say has two lines; an error here is one.
        return "\n".join([*lines, self.error.replace(_LAZY, f"{_LAZY[:-1]}\n")])


@dataclass(frozen=True)
class SmokeSet:
    """One file: what was installed together, and how each stage ended there.

    ``not_installable`` is the resolver's sentence, else None; there are no stages then. ``seconds`` is wall
    time.
    """

    id: str
    requires: tuple[str, ...]
    command: str
    started: datetime
    seconds: float
    versions: Mapping[str, str] = field(hash=False)
    hardware: Hardware
    not_installable: str | None
    origin: Origin
    stages: tuple[StageResult, ...]

    @property
    def broken(self) -> tuple[StageResult, ...]:
        """Return the stages that began and did not end well."""
        return tuple(stage for stage in self.stages if stage.broken)

    def explanation(self, stage: StageResult) -> Bug | None:
        """Return the known bug that has the symptom of a stage and applies to these versions."""
        return self._known(stage.as_traceback())

    def why_not_installable(self) -> Bug | None:
        """Return the known bug because of which this set cannot be installed."""
        return self._known(self.not_installable or "")

    def _known(self, text: str) -> Bug | None:
        hits = matching.recognise(tracebacks.clean(text), self.versions)
        return next((hit.bug for hit in hits if hit.applies == "yes"), None)

    def unexplained(self) -> tuple[StageResult, ...]:
        """Return the broken stages that no known bug explains."""
        return tuple(stage for stage in self.broken if self.explanation(stage) is None)


def document(
    version_set: Mapping[str, Any],
    *,
    command: str,
    started: datetime,
    seconds: float,
    versions: Mapping[str, str],
    hardware: Mapping[str, object],
    origin: Origin,
    stages: Mapping[str, Mapping[str, Any]] | None = None,
    not_installable: str | None = None,
) -> dict[str, Any]:
    """Lay out a file.

    ``version_set`` is the record of a row (``matrix.matrix_file.Row.record``), ``stages`` maps the name of
    each stage to its "status", "error" and "frames".
    """
    return {
        "schema": SCHEMA,
        "set": dict(version_set),
        "command": command,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "versions": dict(versions),
        "hardware": dict(hardware),
        "not_installable": not_installable,
        "origin": asdict(origin),
        "stages": {
            name: {key: value for key, value in stage.items() if value}
            for name, stage in (stages or {}).items()
        },
    }


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Write a file completely or not at all, a line for each of its fields."""
    lines = [
        f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}"
        for name, value in record.items()
    ]
    write_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")


def load(path: Path) -> SmokeSet:
    """Read one file.

    Raises ``OSError`` as the file system does, and ``ValueError`` for a file that is not one of ours.
    """
    top = Field(parse_json(files.content(path)))
    if top.get("schema").value != SCHEMA:
        raise ValueError(f"{path} is not the file of a smoke test of this version")
    return read(top)


def read(top: Field) -> SmokeSet:
    """Read a parsed file. Raises ``FieldError`` for a missing field, a wrong type and an unknown status."""
    about, origin = top.get("set"), top.get("origin")
    stages = top.get("stages")
    if not isinstance(stages.value, dict):
        raise stages.wrong("an object")
    return SmokeSet(
        id=about.get("id").name(),
        requires=tuple(requirement.name() for requirement in about.get("requires").each()),
        command=top.get("command").text(),
        started=top.get("started").moment(),
        seconds=top.get("seconds").number(0, 1e9),
        versions=top.get("versions").texts(),
        hardware=from_dict(top.get("hardware").value),
        not_installable=top.get("not_installable").or_none(Field.name),
        origin=Origin(
            commit=origin.get("commit").or_none(Field.name),
            data=origin.get("data").or_none(Field.name),
            interpreter=origin.get("interpreter").or_none(Field.name),
            lock=tuple(pin.name() for pin in origin.get("lock").each()),
            key=origin.get("key").or_none(Field.name),
        ),
        stages=tuple(_stage(name, stages.get(name)) for name in stages.value),
    )


def _stage(name: str, stage: Field) -> StageResult:
    return StageResult(
        name=name,
        status=stage.get("status").one_of(STATUS),
        error=stage.find("error").or_none(Field.text) or "",
        frames=tuple(frame.text() for frame in stage.find("frames").or_none(Field.each) or ()),
    )
