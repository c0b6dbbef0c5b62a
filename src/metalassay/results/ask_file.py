"""The file of the answers about a user's model: `metalassay ask --save` writes it, the report reads it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from metalassay.fields import Field, FieldError, one_line
from metalassay.machine.hardware import Hardware, as_dict, from_dict

NAME = "metalassay.ask"
SCHEMA = f"{NAME}/1"
TITLES = {
    "preflight": "Preflight for MPS",
    "devices": "CPU or GPU",
    "roofline": "Roofline",
    "numbers": "Right or wrong",
    "batch": "Largest batch",
    "compile": "torch.compile",
    "precision": "float32 and 16 bits",
    "profile": "Profile",
}
"""What may be asked, in the order of the answers, and the title of each."""
_MOST_LINES = 100
_MOST_LENGTH = 1000


@dataclass(frozen=True)
class Stand:
    """A step by the roofline model, all measured or counted: its position, and the peak of the device."""

    intensity: float
    achieved_gflop_s: float
    gflop_s: float
    gb_s: float


@dataclass(frozen=True)
class Asked:
    """The answers of one call. ``answers`` has the lines of each question that was asked, in words.

    ``right`` is whether the device computes what the CPU computes, None where that was not found out.
    """

    machine: Hardware
    versions: Mapping[str, str] = field(hash=False)
    model: str
    device: str
    emulated: bool
    parameters: int
    batch_size: int
    answers: tuple[tuple[str, tuple[str, ...]], ...]
    right: bool | None
    stand: Stand | None
    file: str
    when: datetime


def document(
    *,
    model: str,
    started: datetime,
    about: Mapping[str, Any],
    versions: Mapping[str, str],
    machine: Hardware,
) -> dict[str, Any]:
    """Lay out a file; the answer to each question is added under its name, with its lines as ``text``."""
    return {
        "schema": SCHEMA,
        "file": model,
        "started": started.isoformat(timespec="seconds"),
        "about": dict(about),
        "versions": dict(versions),
        "hardware": as_dict(machine),
    }


def is_one(path: Path) -> bool:
    """Return whether a file has answers, or nothing, so that it may be written again."""
    try:
        text = path.read_text("utf-8")
        content = json.loads(text) if text.strip() else {"schema": SCHEMA}
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("schema") == SCHEMA


def finite(value: Any) -> Any:
    """Return a value for JSON, which has no NaN and no infinite numbers: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, (list, tuple)) else value


def read(top: Field, file: str) -> Asked:
    """Read a parsed file; ``file`` is its name as the report shows it. Raises ``FieldError``."""
    about = top.get("about")
    device = about.get("device").one_of(("cpu", "mps", "cuda"))
    emulated = about.get("emulated").find(device).or_none(Field.flag) or False
    machine = from_dict(top.get("hardware").value)
    if device == "mps" and machine.system != "Darwin" and not emulated:
        raise FieldError(f"device mps, but the machine runs {machine.system}")
    asked = [question for question in TITLES if isinstance(top.find(question).value, dict)]
    if not asked:
        raise FieldError("no question was answered")
    top.get("versions").get("torch")
    return Asked(
        machine=machine,
        versions=top.get("versions").texts(),
        model=top.get("file").name(),
        device=device,
        emulated=emulated,
        parameters=int(about.get("parameters").number(0, 1e15)),
        batch_size=about.get("batch_size").whole(),
        answers=tuple((question, _lines(top.get(question).get("text"))) for question in asked),
        right=top.find("numbers").find("right").or_none(Field.flag) if "numbers" in asked else None,
        stand=None if emulated or "roofline" not in asked else _stand(top.get("roofline")),
        file=file,
        when=top.get("started").moment(),
    )


def _lines(text: Field) -> tuple[str, ...]:
    lines = [one_line(each.text())[:_MOST_LENGTH] for each in text.each()]
    if not lines:
        raise text.wrong("the answer in words")
    return tuple(lines[:_MOST_LINES])


def _stand(answer: Field) -> Stand | None:
    """Return where a step stands; None where there is no answer, and where it is above its own peak."""
    names = ("intensity", "achieved_gflop_s", "gflop_s", "gb_s")
    if any(answer.find(name).value is None for name in names):
        return None  # it was not answered
    stand = Stand(*(answer.get(name).number(0, 1e12) for name in names))
    if min(stand.intensity, stand.achieved_gflop_s, stand.gflop_s, stand.gb_s) <= 0:
        return None
    return stand if stand.achieved_gflop_s <= stand.gflop_s else None
