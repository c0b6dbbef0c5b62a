"""The oracle's answers for people: one operator over all versions, two versions, one version."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from metalassay.errors import UserError
from metalassay.mps.operators import oracle
from metalassay.mps.operators.oracle import State

MARKS: Mapping[State, str] = {
    "kernel": "K",
    "composite": "c",
    "fallback": "f",
    "missing": "x",
    "absent": ".",
}
LEGEND = """\
K kernel     the MPS backend has one; it may still refuse a dtype or a shape
c composite  made of other operators, which decide
f fallback   always runs on the CPU, with a warning
x missing    NotImplementedError, or on the CPU with PYTORCH_ENABLE_MPS_FALLBACK=1
. absent     this torch has no such operator"""
LISTS = ("kernel", "composite", "fallback", "missing", "cpu-only", "sparse")


@dataclass(frozen=True)
class History:
    """One overload: its state by torch version, the oldest first.

    ``first_kernel`` is the first version with an MPS kernel, None where there is none. ``asks``
    names, by version, the overload that errors will name where that is another one.
    """

    overload: str
    first_kernel: str | None
    states: Mapping[str, State]
    asks: Mapping[str, str]


@dataclass(frozen=True)
class Change:
    """An overload whose state differs between two versions."""

    overload: str
    before: State
    after: State


def histories(name: str) -> tuple[History, ...]:
    """Return the history of an overload, or of all overloads of an operator (``linalg_qr``).

    A name that is both, like ``mode``, gives all; ``mode.default`` gives the one. Raises
    ``UserError``, with names that are close, for one that no torch has.
    """
    known = {version: oracle.load(version) for version in oracle.versions()}
    everything = frozenset().union(*(each.overloads for each in known.values()))
    wanted = oracle.plain(name)
    whole = not name.endswith(".default")
    found = sorted(
        each for each in everything if each == wanted or (whole and base(each) == wanted)
    )
    if not found:
        close = _close(wanted, everything)
        raise UserError(
            f"no torch from {oracle.versions()[0]} to {oracle.versions()[-1]} has an operator"
            f" aten::{wanted}",
            f"close: {', '.join(close)}" if close else "metalassay ops --list kernel",
        )
    return tuple(_history(overload, known) for overload in found)


def _history(overload: str, known: Mapping[str, oracle.Operators]) -> History:
    states = {version: operators.state(overload) for version, operators in known.items()}
    asks = {version: operators.asks(overload) for version, operators in known.items()}
    return History(
        overload=overload,
        first_kernel=next((each for each, state in states.items() if state == "kernel"), None),
        states=states,
        asks={version: asked for version, asked in asks.items() if asked != overload},
    )


def _close(wanted: str, everything: frozenset[str]) -> list[str]:
    """Return up to five operators that may have been meant: alike, or with the name in theirs."""
    bases = sorted({base(each) for each in everything})
    alike = difflib.get_close_matches(base(wanted), bases, n=3)
    within = [each for each in bases if base(wanted) in each.split("_", 1)[-1:]]
    return list(dict.fromkeys([*within, *alike]))[:5]


def base(overload: str) -> str:
    """Return the operator that an overload belongs to: ``add`` for ``add.Tensor``."""
    return overload.partition(".")[0]


def history_text(found: tuple[History, ...]) -> str:
    """Return a line of marks for each overload, the legend, and a sentence for each."""
    versions = [minor(version) for version in found[0].states]
    width = max(len(each.overload) for each in found)
    lines = [" " * width + "".join(version.rjust(5) for version in versions)]
    for each in found:
        marks = "".join(MARKS[state].rjust(5) for state in each.states.values())
        lines.append(each.overload.ljust(width) + marks)
    return "\n".join([*lines, "", LEGEND, "", *(sentence(each) for each in found)])


def sentence(history: History) -> str:
    """Return the same in words, as in ``missing in 2.0 to 2.11, kernel in 2.12 to 2.15``."""
    first = (
        f"first kernel in torch {minor(history.first_kernel)}"
        if history.first_kernel
        else "no kernel of its own in any torch"
    )
    runs = ", ".join(
        f"{state} in {minor(versions[0])}"
        + (f" to {minor(versions[-1])}" if len(versions) > 1 else "")
        for state, versions in _runs(history.states)
    )
    asked = sorted(set(history.asks.values()))
    note = f"; without one of its own it asks for aten::{asked[0]}" if asked else ""
    return f"aten::{history.overload}: {first} ({runs}){note}"


def _runs(states: Mapping[str, State]) -> Iterator[tuple[State, list[str]]]:
    for state, items in groupby(states.items(), key=lambda item: item[1]):
        yield state, [version for version, _ in items]


def minor(version: str) -> str:
    """Return ``2.13`` for ``2.13.0``: what holds for a patch release holds for its minor."""
    return ".".join(version.split(".")[:2])


def changes(before: str, after: str) -> tuple[Change, ...]:
    """Return the overloads whose state differs between two torch versions, sorted by name.

    Raises ``UserError`` for a version that the oracle does not know.
    """
    old, new = oracle.load(before), oracle.load(after)
    found = (
        Change(overload, old.state(overload), new.state(overload))
        for overload in sorted(old.overloads | new.overloads)
    )
    return tuple(each for each in found if each.before != each.after)


def changes_text(before: str, after: str, found: tuple[Change, ...], width: int) -> str:
    """Return the changes by kind, what gained a kernel first; ``width`` in characters."""
    old, new = oracle.load(before), oracle.load(after)
    lines = [f"torch {old.torch} -> {new.torch}: {len(found)} overloads differ"]
    order = list(MARKS)
    kinds = sorted(
        {(each.after, each.before) for each in found},
        key=lambda kind: (order.index(kind[0]), -order.index(kind[1])),
    )
    for state, was in kinds:
        names = [each.overload for each in found if (each.after, each.before) == (state, was)]
        lines += ["", f"{was} -> {state} ({len(names)})"]
        lines += textwrap.wrap(
            " ".join(names),
            max(width, 40),
            initial_indent="  ",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def listed(kind: str, torch: str) -> tuple[str, ...]:
    """Return the overloads of one of ``LISTS`` in a torch version, sorted.

    Raises ``UserError`` for a version that the oracle does not know.
    """
    operators = oracle.load(torch)
    groups = {
        "kernel": operators.kernels,
        "composite": operators.composites,
        "fallback": operators.fallbacks,
        "missing": operators.missing,
        "cpu-only": operators.cpu_only,
        "sparse": operators.sparse_kernels,
    }
    return tuple(sorted(groups[kind]))
