"""Profiles of training steps as a section: where a step goes, as bars and as a table.

The files are those of ``--profile``, see ``metalassay.supervise.profile_file``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metalassay.fields import Field, FieldError, parse_json
from metalassay.report.model import NO_VALUE, Bar, BarChart, Section, Table, counted, significant
from metalassay.supervise.profile_file import MOST_OPERATORS, SCHEMA, Operator, Profile

MOST_BARS = 12
"""Operators of a chart and rows of a table; the rest is one more."""
_LARGEST = 1e15


@dataclass(frozen=True)
class StepProfile:
    """One file; ``name`` is how the user named it."""

    name: str
    profile: Profile


def is_profile(content: bytes) -> bool:
    """Return whether a file begins as a profile does, whatever follows."""
    return SCHEMA.rpartition("/")[0].encode() in content[:200]


def parse(content: bytes, name: str) -> StepProfile:
    """Read a profile. Raises ``FieldError`` for anything else, naming the field."""
    top = Field(parse_json(content))
    top.get("schema").one_of([SCHEMA])
    profiled, plain = _seconds(top.get("profiled")), _seconds(top.get("plain"))
    if not profiled or len(profiled) != len(plain):
        raise FieldError("profiled and plain steps are not pairs")
    operators = tuple(map(_operator, top.get("operators").each()))
    if len(operators) > MOST_OPERATORS + 1:
        raise FieldError(f"operators: more than {MOST_OPERATORS + 1}")
    profile = Profile(
        device=top.get("device").name(),
        torch=top.get("torch").name(),
        profiled=profiled,
        plain=plain,
        operators=operators,
        trace=top.get("trace").text(),
        events=int(top.get("events").number(0, _LARGEST)),
        cut=int(top.get("cut").number(0, _LARGEST)),
        notes=tuple(each.name() for each in top.get("notes").each()),
    )
    return StepProfile(name, profile)


def _seconds(field: Field) -> tuple[float, ...]:
    return tuple(each.number(1e-9, 1e9) for each in field.each())


def _operator(field: Field) -> Operator:
    return Operator(
        name=field.get("name").name(),
        calls=int(field.get("calls").number(0, _LARGEST)),
        cpu_us=field.get("cpu_us").number(0, _LARGEST),
        device_us=field.get("device_us").number(0, _LARGEST),
        cpu_bytes=int(field.get("cpu_bytes").number(-_LARGEST, _LARGEST)),
        device_bytes=int(field.get("device_bytes").number(-_LARGEST, _LARGEST)),
    )


def section(profiles: Sequence[StepProfile]) -> Section | None:
    """Return the charts and tables of the profiles, None without one."""
    if not profiles:
        return None
    return Section(
        id="profile",
        title="Where a step goes",
        sentences=tuple(map(_sentence, profiles)),
        bars=tuple(map(_chart, profiles)),
        tables=tuple(map(_table, profiles)),
    )


def _sentence(one: StepProfile) -> str:
    steps = counted(len(one.profile.profiled), "step")
    cost = one.profile.overhead_text()
    return f"{one.name}: {steps} on {one.profile.device}, torch {one.profile.torch}; {cost}."


def _rows(profile: Profile) -> list[tuple[str, float, Operator | None]]:
    rows = profile.by_time()
    rest = rows[MOST_BARS:]
    if not rest:
        return rows
    spent = sum(each for _, each, _ in rest)
    return [*rows[:MOST_BARS], (counted(len(rest), "other"), spent, None)]


def _chart(one: StepProfile) -> BarChart:
    steps = len(one.profile.profiled)
    bars = []
    for name, spent, _ in _rows(one.profile):
        milliseconds = spent / steps / 1e3
        label = f"{significant(milliseconds)} ms, {_share(one.profile, spent)}"
        bars.append(Bar(name, milliseconds, label))
    return BarChart(
        title=f"Where does a step go? {one.name}",
        x_label="CPU time of its own per step, ms",
        bars=tuple(bars),
    )


def _table(one: StepProfile) -> Table:
    steps, on_device = len(one.profile.profiled), any(e.device_us for e in one.profile.operators)
    rows = []
    for name, spent, operator in _rows(one.profile):
        row = [name, significant(spent / steps / 1e3), _share(one.profile, spent)]
        if operator is None:
            row += [NO_VALUE] * (2 + on_device)
        else:
            row += [significant(operator.device_us / steps / 1e3)] if on_device else []
            memory = (operator.cpu_bytes + operator.device_bytes) / steps / 2**20
            row += [significant(operator.calls / steps), significant(memory)]
        rows.append(tuple(row))
    device = ("ms on the device",) if on_device else ()
    return Table(
        caption=f"By operator: {one.name}",
        head=("operator", "CPU ms", "share", *device, "calls", "MiB kept"),
        rows=tuple(rows),
        numeric=(False, *[True] * (4 + on_device)),
        notes=(
            "Per step, without the operators that it calls. MiB kept: allocated less freed by the operator.",
            *one.profile.notes,
        ),
    )


def _share(profile: Profile, spent: float) -> str:
    return f"{spent / max(profile.total_us, 1e-9):.1%}"
