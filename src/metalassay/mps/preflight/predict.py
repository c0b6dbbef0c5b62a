"""Holds a trace of operators against what the MPS backend of each torch version can do. No torch.

The trace was made on a CPU, with one torch version: another version may take an operator apart in
another way, and a kernel may refuse a dtype or a shape that no list shows.
"""

from __future__ import annotations

import functools
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from metalassay.errors import UserError
from metalassay.mps.operators import oracle
from metalassay.mps.operators.oracle import Operators, State

SCHEMA = "metalassay.trace/1"
BAD: tuple[State, ...] = ("missing", "fallback")


@dataclass(frozen=True)
class Place:
    """A line that called an operator, ``count`` times; ``node`` is the autograd formula, or ""."""

    file: str
    line: int
    function: str
    node: str
    count: int


@dataclass(frozen=True)
class Finding:
    """An operator that some torch version has no kernel for.

    ``states`` says "missing" or "fallback" (always on the CPU), by version; a version that is not
    named has no trouble with it. ``fixed_in`` is the first version from which on it has none, None
    where the newest known has it still. ``counts`` are calls, by version: the callers differ too.
    ``inside`` names the operators around it that the traced torch made of it, "" where the program
    called it: there another version may do otherwise.
    """

    operator: str
    states: Mapping[str, State]
    counts: Mapping[str, int]
    fixed_in: str | None
    inside: tuple[str, ...]
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Preflight:
    """What a trace means. ``versions`` are those it was held against, the oldest first.

    ``wide``: where results are float64 or complex128, which MPS refuses in every version.
    ``unknown``: operators that a version does not have under this name, by version. ``custom``:
    operators that are not PyTorch's own, of which nothing is known.
    """

    torch: str
    ended: str
    calls: int
    operators: int
    versions: tuple[str, ...]
    findings: tuple[Finding, ...]
    wide: tuple[Place, ...]
    unknown: Mapping[str, tuple[str, ...]]
    custom: tuple[str, ...]

    def bad(self, version: str, state: State) -> tuple[Finding, ...]:
        """Return the findings that are in ``state`` in a version."""
        return tuple(each for each in self.findings if each.states.get(version) == state)


@functools.cache
def branches() -> Mapping[str, str]:
    """Return what decides on MPS instead of an operator that goes another way there."""
    text = resources.files(__package__).joinpath("branches.toml").read_text("utf-8")
    return {row["operator"]: row["asks"] for row in tomllib.loads(text)["branch"]}


def parse(content: bytes, name: str) -> Mapping[str, Any]:
    """Read a trace. Raises ``UserError`` when it is none."""
    try:
        trace = json.loads(content)
        if trace["schema"] != SCHEMA:
            raise ValueError(f"its schema is {trace['schema']!r}")
        for call in trace["calls"]:
            if not (call["path"] and isinstance(call["count"], int)):
                raise ValueError("a call without a path or a count")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{name} is no trace of operators: {error!r}", "trace again") from None
    checked: Mapping[str, Any] = trace
    return checked


def judge(trace: Mapping[str, Any], versions: Sequence[str] | None = None) -> Preflight:
    """Hold a trace against the torch ``versions``, by default all that are known."""
    known = [oracle.load(each) for each in versions or oracle.versions()]
    calls = [call for call in trace["calls"] if not call["path"][-1].startswith("profiler::")]
    custom = {name for call in calls for name in call["path"] if "::" in name}
    calls = [call for call in calls if not custom & set(call["path"])]
    found: dict[str, dict[str, State]] = {}
    counts: dict[str, Counter[str]] = {}
    places: dict[str, Counter[tuple[str, int, str, str]]] = {}
    inside: dict[str, set[str]] = {}
    unknown: dict[str, set[str]] = {each.torch: set() for each in known}
    for operators in known:
        look: dict[str, tuple[str, State]] = {}
        for call in calls:
            blamed = _blamed(call["path"], operators, look)
            if blamed is None:
                continue
            name, state = blamed
            if state == "absent":
                # One that the traced torch makes of others is judged by those.
                if _here(trace["torch"], name) != "composite":
                    unknown[operators.torch].add(name)
                continue
            found.setdefault(name, {})[operators.torch] = state
            counts.setdefault(name, Counter())[operators.torch] += call["count"]
            inside.setdefault(name, set()).add(call["path"][-2] if len(call["path"]) > 1 else "")
            if operators.torch == min(found[name], key=[each.torch for each in known].index):
                places.setdefault(name, Counter())[_site(call)] += call["count"]
    order = [each.torch for each in known]
    findings = [
        Finding(
            operator=name,
            states=states,
            counts=dict(counts[name]),
            fixed_in=_fixed(states, order),
            # Called by the program even once, it is no other operator's affair.
            inside=() if "" in inside[name] else tuple(sorted(inside[name])),
            places=_places(places[name]),
        )
        for name, states in found.items()
    ]
    wide: Counter[tuple[str, int, str, str]] = Counter()
    for call in calls:
        # Inside an operator float64 may be the CPU's own choice; what comes out is the program's.
        if call["wide"] and len(call["path"]) == 1:
            wide[_site(call)] += call["count"]
    return Preflight(
        torch=trace["torch"],
        ended=trace["ended"],
        calls=sum(call["count"] for call in calls if len(call["path"]) == 1),
        operators=len({call["path"][-1] for call in calls}),
        versions=tuple(order),
        findings=tuple(sorted(findings, key=lambda f: (-len(f.states), f.operator))),
        wide=_places(wide),
        unknown={version: tuple(sorted(names)) for version, names in unknown.items() if names},
        custom=tuple(sorted(custom)),
    )


def _blamed(
    path: Sequence[str], operators: Operators, look: dict[str, tuple[str, State]]
) -> tuple[str, State] | None:
    """Return the operator at the end of a path and its state, if it is reached and is no kernel."""
    if not _reached(path, operators, look):
        return None  # one further out decides, and has a call of its own
    asked, state = look[path[-1]]
    return (asked, state) if state in (*BAD, "absent") else None


def _reached(path: Sequence[str], operators: Operators, look: dict[str, tuple[str, State]]) -> bool:
    """Say whether the operator at the end is asked for: all around it are taken apart."""
    for name in path:
        if name not in look:
            look[name] = _look(name, operators)
    return all(look[name][1] in ("composite", "absent") for name in path[:-1])


def _here(torch: str, name: str) -> State:
    """Return the state of an operator in the torch that made the trace, if that is known."""
    try:
        return _look(name, oracle.load(torch))[1]
    except UserError:
        return "absent"


def _look(name: str, operators: Operators) -> tuple[str, State]:
    """Return which operator's kernel a step of a path asks for, and the state of that."""
    asked = [operators.asks(branches().get(each, each)) for each in name.split("|")]
    states = [operators.state(each) for each in asked]
    if len(asked) == 1:
        return asked[0], states[0]
    # Several overloads, of which one was chosen unseen. They are composites, which decide nothing,
    # unless all have a kernel or one is forced onto the CPU.
    for each, state in zip(asked, states, strict=True):
        if state == "fallback":
            return each, state
    return name, "kernel" if set(states) == {"kernel"} else "composite"


def _fixed(states: Mapping[str, State], order: Sequence[str]) -> str | None:
    last = max(order.index(version) for version in states)
    return order[last + 1] if last + 1 < len(order) else None


def _site(call: Mapping[str, Any]) -> tuple[str, int, str, str]:
    return call["file"], call["line"], call["function"], call["node"]


def _places(counted: Mapping[tuple[str, int, str, str], int]) -> tuple[Place, ...]:
    ordered: Iterable[tuple[tuple[str, int, str, str], int]] = sorted(
        counted.items(), key=lambda item: (-item[1], item[0])
    )
    return tuple(Place(*site, count) for site, count in ordered)
