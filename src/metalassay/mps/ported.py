"""What programs written for CUDA call in vain on a Mac: the rows of ported.toml, and their text.

Imports no torch; ``ported_watch`` notes the calls in the program's process.
"""

from __future__ import annotations

import functools
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from metalassay.fields import Field

TITLE = "No error on a Mac, and not what it does with CUDA:"


@dataclass(frozen=True)
class Noted:
    """A call that a Mac accepts in vain: the id of its row, where it stands, and how often it ran."""

    id: str
    file: str
    line: int
    function: str
    count: int


@functools.cache
def rows() -> tuple[Mapping[str, Any], ...]:
    """Return the rows of ported.toml."""
    text = resources.files(__package__).joinpath("ported.toml").read_text("utf-8")
    return tuple(tomllib.loads(text)["call"])


def parse(entry: Field) -> Noted:
    """Read one entry of a recording. Raises ``FieldError``."""
    known = {row["id"] for row in rows()}
    name = entry.get("id")
    if name.value not in known:
        raise name.wrong("the id of a call that is watched")
    return Noted(
        id=name.name(),
        file=entry.get("file").text(),
        line=int(entry.get("line").number(0, 1e9)),
        function=entry.get("function").text(),
        count=entry.get("count").whole(),
    )


def as_text(noted: Iterable[Noted], place: Callable[[str, int], str], width: int = 80) -> list[str]:
    """Return the lines of a report: each call, where it stands, what happens, what to write instead.

    ``place`` turns a file and a line into what is printed.
    """
    found = list(noted)
    lines = []
    for row in rows():
        here = sorted({(each.file, each.line) for each in found if each.id == row["id"]})
        if not here:
            continue
        lines += ["", f"  {row['call']}"]
        lines += _filled(", ".join(place(file, line) for file, line in here), "at", width)
        lines += _filled(row["happens"], "on a Mac", width)
        lines += _filled(row["instead"], "instead", width)
    return lines


def summary(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what the emulator says at the end of a program; nothing if there is nothing to say."""
    found = [Noted(**entry) for entry in entries]
    if not found:
        return []
    return [TITLE, *as_text(found, lambda file, line: f"{shortened(file)}:{line}")]


def shortened(file: str) -> str:
    """Return a path relative to site-packages or to the working directory, if it is inside one."""
    path = Path(file)
    for marker in ("site-packages", "dist-packages"):
        if marker in path.parts:
            return str(Path(*path.parts[path.parts.index(marker) + 1 :]))
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _filled(text: str, label: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=f"      {label + ':':<10}",
        subsequent_indent=" " * 16,
        break_long_words=False,
        break_on_hyphens=False,
    )
