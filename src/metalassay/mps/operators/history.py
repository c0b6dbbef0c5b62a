"""Operators across torch releases: one operator's history, an upgrade's changes, one release's lists."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from metalassay.errors import UserError
from metalassay.mps.operators import oracle
from metalassay.mps.operators.oracle import State

SYMBOLS: Mapping[State, str] = {
    "kernel": "K",
    "composite": "c",
    "fallback": "f",
    "missing": "x",
    "absent": ".",
}
LEGEND = """\
K kernel     MPS has a kernel, which may still reject a dtype or a shape
c composite  made of other operators, which decide
f fallback   always runs on the CPU, with a warning
x missing    raises NotImplementedError; runs on the CPU with PYTORCH_ENABLE_MPS_FALLBACK=1
. absent     this torch does not have the operator"""
LISTS = ("kernel", "composite", "fallback", "missing", "cpu-only", "sparse")


@dataclass(frozen=True)
class History:
    """The state of one overload by torch version, oldest first.

    ``first_kernel`` is the first version with an MPS kernel, or None. ``asks`` maps a version to the
    overload that its errors name, where that is a different one.
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

    A name that is both, like ``mode``, returns all overloads; ``mode.default`` returns one. Raises
    ``UserError`` with similar names if no known torch has the operator.
    """
    by_version = {version: oracle.load(version) for version in oracle.versions()}
    all_overloads = frozenset().union(*(known.overloads for known in by_version.values()))
    wanted = oracle.plain(name)
    every_overload = not name.endswith(".default")
    matches = sorted(
        overload
        for overload in all_overloads
        if overload == wanted or (every_overload and base(overload) == wanted)
    )
    if not matches:
        similar = _similar(wanted, all_overloads)
        raise UserError(
            f"no torch from {oracle.versions()[0]} to {oracle.versions()[-1]} has an operator"
            f" aten::{wanted}",
            f"similar: {', '.join(similar)}" if similar else "metalassay ops --list kernel",
        )
    return tuple(_history(overload, by_version) for overload in matches)


def _history(overload: str, by_version: Mapping[str, oracle.Operators]) -> History:
    states = {version: operators.state(overload) for version, operators in by_version.items()}
    asks = {version: operators.asks(overload) for version, operators in by_version.items()}
    with_kernel = (version for version, state in states.items() if state == "kernel")
    return History(
        overload=overload,
        first_kernel=next(with_kernel, None),
        states=states,
        asks={version: asked for version, asked in asks.items() if asked != overload},
    )


def _similar(wanted: str, overloads: frozenset[str]) -> list[str]:
    """Return up to five operators that are spelt similarly, or are ``linalg_qr`` for ``qr``."""
    names = sorted({base(overload) for overload in overloads})
    with_prefix = [name for name in names if base(wanted) in name.split("_", 1)[-1:]]
    alike = difflib.get_close_matches(base(wanted), names, n=3)
    return list(dict.fromkeys([*with_prefix, *alike]))[:5]


def base(overload: str) -> str:
    """Return the operator that an overload belongs to: ``add`` for ``add.Tensor``."""
    return overload.partition(".")[0]


def history_text(histories: tuple[History, ...]) -> str:
    """Return a table with one row of symbols per overload, the legend, and one sentence each."""
    versions = [minor(version) for version in histories[0].states]
    width = max(len(history.overload) for history in histories)
    lines = [" " * width + "".join(version.rjust(5) for version in versions)]
    for history in histories:
        symbols = "".join(SYMBOLS[state].rjust(5) for state in history.states.values())
        lines.append(history.overload.ljust(width) + symbols)
    return "\n".join([*lines, "", LEGEND, "", *(sentence(history) for history in histories)])


def sentence(history: History) -> str:
    """Return a history in words, such as ``missing in 2.0 to 2.11, kernel in 2.12 to 2.15``."""
    first = (
        f"first kernel in torch {minor(history.first_kernel)}"
        if history.first_kernel
        else "no kernel of its own in any torch"
    )
    periods = ", ".join(
        f"{state} in {minor(versions[0])}"
        + (f" to {minor(versions[-1])}" if len(versions) > 1 else "")
        for state, versions in _periods(history.states)
    )
    asked = sorted(set(history.asks.values()))
    note = f"; without a kernel of its own it uses that of aten::{asked[0]}" if asked else ""
    return f"aten::{history.overload}: {first} ({periods}){note}"


def _periods(states: Mapping[str, State]) -> Iterator[tuple[State, list[str]]]:
    """Yield each run of consecutive versions with the same state."""
    for state, items in groupby(states.items(), key=lambda item: item[1]):
        yield state, [version for version, _ in items]


def minor(version: str) -> str:
    """Return ``2.13`` for ``2.13.0``: all patch releases of a minor version have one answer."""
    return ".".join(version.split(".")[:2])


def changes(before: str, after: str) -> tuple[Change, ...]:
    """Return the overloads whose state differs between two torch versions, sorted by name.

    Raises ``UserError`` for a version that is not known.
    """
    old, new = oracle.load(before), oracle.load(after)
    both = (
        Change(overload, old.state(overload), new.state(overload))
        for overload in sorted(old.overloads | new.overloads)
    )
    return tuple(change for change in both if change.before != change.after)


def changes_text(before: str, after: str, changes: tuple[Change, ...], width: int) -> str:
    """Return the changes grouped by kind, new kernels first; ``width`` is in characters."""
    old, new = oracle.load(before), oracle.load(after)
    lines = [f"torch {old.torch} -> {new.torch}: {len(changes)} overloads differ"]
    order = list(SYMBOLS)
    kinds = sorted(
        {(change.after, change.before) for change in changes},
        key=lambda kind: (order.index(kind[0]), -order.index(kind[1])),
    )
    for state, was in kinds:
        names = [
            change.overload for change in changes if (change.after, change.before) == (state, was)
        ]
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
    """Return the overloads in one of ``LISTS`` for a torch version, sorted.

    Raises ``UserError`` for a version that is not known.
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
