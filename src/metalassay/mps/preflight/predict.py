"""Predict from a trace of operators what fails on the MPS backend of each torch version.

The trace was recorded on a CPU with one torch version. Another version may decompose an operator
differently, and a kernel may reject a dtype or a shape, which no list shows. Imports no torch.
"""

from __future__ import annotations

import functools
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any

from metalassay.errors import UserError
from metalassay.fields import Field, FieldError, parse_json
from metalassay.mps import ported
from metalassay.mps.operators import advice, calls, dtypes, limits, oracle
from metalassay.mps.operators.oracle import Operators, State

SCHEMA = "metalassay.trace/2"
OLD = "metalassay.trace/1"  # without sizes, threads, processes, and what does nothing on a Mac
BAD: tuple[State, ...] = ("missing", "fallback")


@dataclass(frozen=True)
class Place:
    """A line that called an operator ``count`` times; ``node`` is the autograd formula, or ""."""

    file: str
    line: int
    function: str
    node: str
    count: int


@dataclass(frozen=True)
class Finding:
    """An operator for which at least one torch version has no kernel.

    ``states`` maps a version to "missing" or "fallback" (always on the CPU); versions without a
    problem are not in it. ``fixed_in`` is the version since which there is no problem, None if the
    newest known version still has one. ``counts`` are calls by version, since the callers differ
    too. ``copied`` is about how many bytes a fallback copies between CPU and GPU in one run, at the sizes
    of the first call of each line; 0 where that is unknown. ``cured`` tells whether
    PYTORCH_ENABLE_MPS_FALLBACK=1 helps. ``inside`` names the operators that called it in the traced torch, where another version may
    differ; it is empty if the program itself called it.
    """

    operator: str
    states: Mapping[str, State]
    counts: Mapping[str, int]
    copied: Mapping[str, int]
    cured: bool
    fixed_in: str | None
    inside: tuple[str, ...]
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Refusal:
    """An operator whose kernel is expected to refuse a call in at least one torch version.

    ``what`` is the dtype, or "sizes" or what else the kernel asks for. ``reasons`` says by version why:
    because PyTorch's own tests expect the failure, or in the words of the error in its library. ``counts``
    and ``places`` are as in ``Finding``.
    """

    operator: str
    what: str
    reasons: Mapping[str, str]
    counts: Mapping[str, int]
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Preflight:
    """The prediction for a trace, for each of ``versions``, oldest first.

    ``calls`` counts the program's own operator calls and ``operators`` the distinct operators.
    ``refusals`` are calls that a kernel refuses. ``wide`` lists lines with float64 or complex128 results, which MPS rejects in every version.
    ``unknown`` maps a version to the operators that it does not have under this name, or of which it is
    not known whether it calls them inside others, as the traced torch does. ``custom``
    lists operators that do not belong to PyTorch, about which nothing is known. ``ported`` are lines
    that do nothing on a Mac, and ``replaced`` counts calls that named mps and got the CPU.
    ``threads`` and ``processes`` were recorded besides the main ones; ``lost`` processes left nothing.
    """

    torch: str
    ended: str
    calls: int
    operators: int
    versions: tuple[str, ...]
    findings: tuple[Finding, ...]
    refusals: tuple[Refusal, ...]
    wide: tuple[Place, ...]
    unknown: Mapping[str, tuple[str, ...]]
    custom: tuple[str, ...]
    ported: tuple[ported.Noted, ...]
    replaced: int
    threads: int
    processes: int
    lost: int

    def bad(self, version: str, state: State) -> tuple[Finding, ...]:
        """Return the findings that have ``state`` in a version."""
        return tuple(finding for finding in self.findings if finding.states.get(version) == state)

    def refused(self, version: str) -> tuple[Refusal, ...]:
        """Return what kernels of a version refuse."""
        return tuple(refusal for refusal in self.refusals if version in refusal.reasons)


@functools.cache
def _branches_file() -> Mapping[str, Any]:
    text = resources.files(__package__).joinpath("branches.toml").read_text("utf-8")
    return tomllib.loads(text)


def python_branches() -> Sequence[Mapping[str, Any]]:
    """Return the places of torch's Python code that ask for the device; see branches.toml."""
    rows: list[dict[str, Any]] = _branches_file()["python"]
    return rows


@functools.cache
def settings() -> Mapping[str, Any]:
    """Return what the recording process needs to know.

    ``kernels`` and ``composites`` are the operators that are one or the other in every known release:
    the recorder need not look into them. ``dtypes`` and ``limits`` are by operator what a kernel of some
    release refuses. ``exchange`` are the functions of torch that must take the
    branch of a Mac, and ``ported`` the rows of ported.toml.
    """
    releases = [oracle.load(version) for version in oracle.versions()]
    in_all: dict[str, set[str]] = {}
    for state in ("kernel", "composite"):
        in_all[state] = set.intersection(
            *(
                {name for name in release.overloads if _resolve(name, release)[1] == state}
                for release in releases
            )
        )
    return {
        "kernels": sorted(in_all["kernel"]),
        "composites": sorted(in_all["composite"]),
        "dtypes": {name: " ".join(found) for name, found in dtypes.ever_refused().items()},
        "limits": {
            operator: [row.id for row in limits.rows() if operator in row.operators]
            for row in limits.rows()
            for operator in row.operators
        },
        "exchange": [name for row in python_branches() for name in row.get("exchange", ())],
        "ported": ported.rows(),
    }


@functools.cache
def branches() -> Mapping[str, str]:
    """Return, by operator, the operator that decides on MPS instead; see branches.toml."""
    return {row["operator"]: row["asks"] for row in _branches_file()["branch"]}


def parse(content: bytes, name: str) -> Mapping[str, Any]:
    """Parse a trace; ``name`` is its file, for the error. Raises ``UserError`` if it is not a trace."""
    try:
        top = Field(parse_json(content))
        old = top.get("schema").value == OLD
        if not old and top.get("schema").value != SCHEMA:
            raise top.get("schema").wrong(SCHEMA)
        return {
            "schema": SCHEMA,
            "torch": top.get("torch").name(),
            "ended": top.get("ended").text(),
            "seconds": top.get("seconds").number(0, 1e9),
            "calls": [_call(call, old) for call in top.get("calls").each()],
            "ported": []
            if old
            else [asdict(ported.parse(each)) for each in top.get("ported").each()],
            **{
                name: 0 if old else int(top.get(name).number(0, 1e9))
                for name in ("replaced", "threads")
            },
            **{
                name: int(top.find(name).or_none(lambda field: field.number(0, 1e9)) or 0)
                for name in ("processes", "lost")
            },
        }
    except FieldError as error:
        raise UserError(
            f"{name} is not a trace of operators: {error}",
            "record it again: metalassay preflight --save FILE -- python train.py",
        ) from None


def _call(call: Field, old: bool) -> dict[str, Any]:
    path = call.get("path")
    operators = [each.name() for each in path.each()]
    if not operators:
        raise path.wrong("the names of operators")
    return {
        "path": operators,
        "file": call.get("file").text(),
        "line": int(call.get("line").number(0, 1e9)),
        "function": call.get("function").text(),
        "node": call.get("node").text(),
        "wide": call.get("wide").flag(),
        # Not in traces of older releases of metalassay.
        **{name: call.find(name).or_none(Field.text) or "" for name in ("dtype", "limit")},
        "count": call.get("count").whole(),
        "bytes": 0 if old else int(call.get("bytes").number(0, 1e18)),
    }


def together(
    trace: Mapping[str, Any], parts: Sequence[Mapping[str, Any]], lost: int
) -> Mapping[str, Any]:
    """Return the trace of a program with those of the processes that it started.

    ``lost`` counts processes that began and left no recording, because they were killed.
    """
    whole = {**trace, "processes": trace["processes"] + len(parts), "lost": trace["lost"] + lost}
    for name in ("calls", "ported"):
        whole[name] = [*trace[name], *(entry for part in parts for entry in part[name])]
    for name in ("replaced", "threads"):
        whole[name] = trace[name] + sum(part[name] for part in parts)
    return whole


def judge(trace: Mapping[str, Any], versions: Sequence[str] | None = None) -> Preflight:
    """Evaluate a trace for the torch ``versions``, by default all that are known."""
    releases = [oracle.load(version) for version in versions or oracle.versions()]
    order = [release.torch for release in releases]
    made = [call for call in trace["calls"] if not call["path"][-1].startswith("profiler::")]
    custom = {name for call in made for name in call["path"] if "::" in name}
    made = [call for call in made if not custom & set(call["path"])]
    states: dict[str, dict[str, State]] = {}
    counts: dict[str, Counter[str]] = {}
    copied: dict[str, Counter[str]] = {}
    places: dict[str, Counter[tuple[str, int, str, str]]] = {}
    inside: dict[str, set[str]] = {}
    unknown: dict[str, set[str]] = {version: set() for version in order}
    refusals: dict[tuple[str, str], _Refused] = {}
    for operators in releases:
        resolved: dict[str, tuple[str, State]] = {}
        for call in made:
            problem = _problem(call["path"], operators, resolved)
            if problem is None:
                reason = _refusal(call, operators, resolved)
                told = reason and _called(call, call["path"][-1], trace["torch"], operators)
                if told == "cannot tell":
                    unknown[operators.torch].add(call["path"][-1])
                elif told == "calls":
                    what = _LIMITED if call["limit"] else call["dtype"]
                    refusals.setdefault((call["path"][-1], what), _Refused()).add(
                        call, operators.torch, reason
                    )
                continue
            name, state = problem
            if state == "absent":
                # If the traced torch makes it of others, those decide.
                if _state_in(trace["torch"], name) != "composite":
                    unknown[operators.torch].add(name)
                continue
            told = _called(call, name, trace["torch"], operators)
            if told != "calls":
                if told == "cannot tell":
                    unknown[operators.torch].add(name)
                continue
            states.setdefault(name, {})[operators.torch] = state
            counts.setdefault(name, Counter())[operators.torch] += call["count"]
            copied.setdefault(name, Counter())[operators.torch] += call["count"] * call.get(
                "bytes", 0
            )
            inside.setdefault(name, set()).add(call["path"][-2] if len(call["path"]) > 1 else "")
            if operators.torch == min(states[name], key=order.index):  # count each line once
                places.setdefault(name, Counter())[_site(call)] += call["count"]
    findings = [
        Finding(
            operator=name,
            states=by_version,
            counts=dict(counts[name]),
            copied=dict(copied[name]),
            cured=_cured(name),
            fixed_in=_fixed_in(by_version, order),
            # If the program calls it even once, no other operator is responsible.
            inside=() if "" in inside[name] else tuple(sorted(inside[name])),
            places=_places(places[name]),
        )
        for name, by_version in states.items()
    ]
    wide: Counter[tuple[str, int, str, str]] = Counter()
    for call in made:
        # Inside an operator, float64 may be the CPU's choice; the result of the call is the program's.
        by_cpu = call["path"][-1] in dtypes.double_on_cpu()
        if call["wide"] and len(call["path"]) == 1 and not by_cpu:
            wide[_site(call)] += call["count"]
    return Preflight(
        torch=trace["torch"],
        ended=trace["ended"],
        calls=sum(call["count"] for call in made if len(call["path"]) == 1),
        operators=len({call["path"][-1] for call in made}),
        versions=tuple(order),
        findings=tuple(
            sorted(findings, key=lambda finding: (-len(finding.states), finding.operator))
        ),
        refusals=tuple(
            Refusal(name, what, found.reasons, dict(found.counts), _places(found.places))
            for (name, what), found in sorted(refusals.items())
        ),
        wide=_places(wide),
        unknown={version: tuple(sorted(names)) for version, names in unknown.items() if names},
        custom=tuple(sorted(custom)),
        ported=tuple(ported.Noted(**entry) for entry in trace.get("ported", ())),
        **{name: trace.get(name, 0) for name in ("replaced", "threads", "processes", "lost")},
    )


def _problem(
    path: Sequence[str], operators: Operators, resolved: dict[str, tuple[str, State]]
) -> tuple[str, State] | None:
    """Return the last operator of a path and its state, if it is dispatched and has no kernel.

    ``resolved`` caches ``_resolve`` for one release.
    """
    if not _dispatched(path, operators, resolved):
        return None  # an operator further out decides, and has an entry of its own
    asked, state = resolved[path[-1]]
    return (asked, state) if state in (*BAD, "absent") else None


_LIMITED = "these sizes"


@dataclass
class _Refused:
    """The refused calls of one operator, while they are counted."""

    reasons: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    places: Counter[tuple[str, int, str, str]] = field(default_factory=Counter)

    def add(self, call: Mapping[str, Any], version: str, reason: str) -> None:
        """Count a call in a version; a line is counted in the first one that refuses."""
        self.reasons.setdefault(version, reason)
        self.counts[version] += call["count"]
        if version == next(iter(self.reasons)):
            self.places[_site(call)] += call["count"]


def _refusal(
    call: Mapping[str, Any], operators: Operators, resolved: dict[str, tuple[str, State]]
) -> str:
    """Return why a kernel of a release refuses a call, which no operator around it decides, or ""."""
    dtype, limit = call.get("dtype", ""), call.get("limit", "")
    if not (dtype or limit) or not _dispatched(call["path"], operators, resolved):
        return ""
    if text := limits.texts(operators.torch).get(limit):
        return f"a Mac says: {text}"
    known = dtypes.load(operators.torch)
    opinfo = known.refused.get(call["path"][-1], {}).get(dtype) if known and dtype else None
    return f"PyTorch's own tests expect {opinfo} to fail with it" if opinfo else ""


def _called(call: Mapping[str, Any], name: str, traced: str, operators: Operators) -> calls.Answer:
    """Return whether the release makes a call that the traced torch made inside another operator."""
    try:
        seen_in = oracle.load(traced)
    except UserError:  # newer than the data
        seen_in = oracle.load(oracle.versions()[-1])
    if seen_in is operators:
        return "calls"
    callers = [*([call["node"]] if call["node"] else []), *call["path"][:-1]]
    return calls.inside(callers, name, operators, seen_in)


def _dispatched(
    path: Sequence[str], operators: Operators, resolved: dict[str, tuple[str, State]]
) -> bool:
    """Return whether the last operator is called at all: every operator around it is decomposed."""
    for name in path:
        if name not in resolved:
            resolved[name] = _resolve(name, operators)
    return all(resolved[name][1] in ("composite", "absent") for name in path[:-1])


def _state_in(torch: str, name: str) -> State:
    """Return the state of an operator in the torch that was traced; "absent" if that is unknown."""
    try:
        return _resolve(name, oracle.load(torch))[1]
    except UserError:
        return "absent"


def _resolve(name: str, operators: Operators) -> tuple[str, State]:
    """Return the operator whose kernel one name in a path uses, and the state of that operator."""
    asked = [operators.asks(branches().get(overload, overload)) for overload in name.split("|")]
    states = [operators.state(overload) for overload in asked]
    if len(asked) == 1:
        return asked[0], states[0]
    # Several overloads, of which the trace does not show the one that was called. They are
    # composites, which decide nothing, unless all have a kernel or one always runs on the CPU.
    for overload, state in zip(asked, states, strict=True):
        if state == "fallback":
            return overload, state
    return name, "kernel" if set(states) == {"kernel"} else "composite"


def _cured(name: str) -> bool:
    row = advice.for_operator(name)
    return row is None or row.fallback


def _fixed_in(states: Mapping[str, State], order: Sequence[str]) -> str | None:
    last = max(order.index(version) for version in states)
    return order[last + 1] if last + 1 < len(order) else None


def _site(call: Mapping[str, Any]) -> tuple[str, int, str, str]:
    return call["file"], call["line"], call["function"], call["node"]


def _places(counted: Mapping[tuple[str, int, str, str], int]) -> tuple[Place, ...]:
    ordered: Iterable[tuple[tuple[str, int, str, str], int]] = sorted(
        counted.items(), key=lambda item: (-item[1], item[0])
    )
    return tuple(Place(*site, count) for site, count in ordered)
