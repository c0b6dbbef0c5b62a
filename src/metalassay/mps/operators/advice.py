"""What to do without an operator, whose operator it is, and which dtypes a kernel refuses.

Reads advice.toml, libraries.toml and kernels.toml, which people keep; their comments explain the fields.
"""

from __future__ import annotations

import functools
import textwrap
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Advice:
    """How to do without some aten operators; ``works_torch`` is about ``call``, not the operators."""

    operators: tuple[str, ...]
    call: str
    do: tuple[str, ...]
    link: str
    sure: str
    title: str = ""
    cause: str = ""
    not_help: tuple[str, ...] = ()
    fallback: bool = True
    works_torch: str | None = None
    macos: str | None = None

    def steps(self, overload: str) -> tuple[str, ...]:
        """Return ``do`` for one overload: NAME in it is the function that a user calls."""
        name = overload.partition(".")[0].strip("_").removeprefix("linalg_").removesuffix("_ex")
        return tuple(step.replace("NAME", name) for step in self.do)

    def works(self) -> str:
        """Return from when on the call runs on MPS, as a sentence; empty if the operators tell that."""
        if self.works_torch is None:
            return ""
        macos = f" and macOS {self.macos}" if self.macos else ""
        return f"{self.call} runs on MPS from torch {self.works_torch}{macos} on"


@dataclass(frozen=True)
class Library:
    """Operators of another library; ``kernel`` is the first version of ``package`` that has one for MPS."""

    namespace: str
    owner: str
    title: str
    do: tuple[str, ...]
    fallback: str
    link: str
    sure: str
    operators: tuple[str, ...] = ("*",)
    package: str | None = None
    kernel: str | None = None
    cause: str = ""
    not_help: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kernel:
    """The dtypes that kernels of one name refuse before torch ``since``; None: in every torch."""

    names: tuple[str, ...]
    device: str
    call: str
    dtypes: tuple[str, ...]
    link: str
    sure: str
    since: str | None = None
    cause: str = ""
    do: tuple[str, ...] = ()


def for_operator(overload: str) -> Advice | None:
    """Return the advice for an aten overload, given without ``aten::``."""
    return next((row for row in all_advice() if _fits(overload, row.operators)), None)


def for_library(namespace: str, operator: str) -> Library | None:
    """Return whose operator ``namespace::operator`` is, or None for a library that is not known."""
    return next(
        (
            row
            for row in libraries()
            if fnmatchcase(namespace, row.namespace)
            and _fits(operator.split(".")[0], row.operators)
        ),
        None,
    )


def for_kernel(name: str, dtype: str) -> Kernel | None:
    """Return the row about a kernel and a dtype, both as in the message."""
    return next((row for row in kernels() if dtype in row.dtypes and _fits(name, row.names)), None)


def notes(overloads: Iterable[str]) -> tuple[str, ...]:
    """Return what the list of kernels does not tell about these overloads, one line each."""
    rows = dict.fromkeys(row for row in map(for_operator, overloads) if row is not None)
    return tuple(
        " ".join(
            part
            for part in (_sentence(row.works() or row.title), row.cause, f"Do: {row.do[0]}")
            if part
        )
        for row in rows
        if row.works_torch or row.title
    )


def library_text(row: Library, width: int) -> str:
    """Return what is known about the operators of another library, wrapped at ``width`` columns."""
    lines = [_sentence(row.title), row.cause, *(f"do: {step}" for step in row.do)]
    if row.kernel:
        lines.append(f"first kernel for MPS: {row.package} {row.kernel}")
    if row.fallback == "works":
        lines.append("PYTORCH_ENABLE_MPS_FALLBACK=1 runs it on the CPU")
    lines += [f"no help: {each}" for each in row.not_help]
    return "\n".join(wrapped(line, width) for line in (*lines, row.sure, row.link) if line)


def wrapped(line: str, width: int) -> str:
    """Return a line wrapped at ``width`` columns; commands and links stay whole."""
    return textwrap.fill(
        line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if text and not text.startswith("torch.") else f"{text}."


def device_of(kernel: str) -> str | None:
    """Return the device whose kernel has this name, whatever the dtype; None if no row has it."""
    return next((row.device for row in kernels() if _fits(kernel, row.names)), None)


@functools.cache
def all_advice() -> tuple[Advice, ...]:
    """Return all rows of advice.toml, in their order."""
    rows = []
    for row in _rows("advice.toml", "advice"):
        works = row.pop("works", {})
        macos = row.pop("macos", works.get("macos"))
        rows.append(Advice(**row, works_torch=works.get("torch"), macos=macos))
    return tuple(rows)


@functools.cache
def libraries() -> tuple[Library, ...]:
    """Return all rows of libraries.toml, in their order."""
    return tuple(Library(**row) for row in _rows("libraries.toml", "library"))


@functools.cache
def kernels() -> tuple[Kernel, ...]:
    """Return all rows of kernels.toml, in their order."""
    return tuple(Kernel(**row) for row in _rows("kernels.toml", "kernel"))


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _rows(file: str, key: str) -> list[dict[str, Any]]:
    text = resources.files(__package__).joinpath(file).read_text("utf-8")
    return [
        {name: _plain(value) for name, value in row.items()} for row in tomllib.loads(text)[key]
    ]


def _plain(value: Any) -> Any:
    """Return lists as tuples, and text on one line."""
    if isinstance(value, list):
        return tuple(value)
    return " ".join(value.split()) if isinstance(value, str) else value
