"""Whether a result file can stand among the accepted ones: `metalassay results check`, for a contribution.

Errors are what makes a figure false or unusable for others; warnings are what its reader should know. A file is
judged by what it records, and what is recorded twice must agree: the conditions are judged again, not taken from
the marks alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from metalassay.bench import contradictions, suite
from metalassay.bench.contradictions import LEAST_SECONDS, MOST_SECONDS
from metalassay.fields import Field, FieldError, one_line, parse_json, printable
from metalassay.machine import chips, conditions
from metalassay.machine.conditions import Conditions
from metalassay.machine.hardware import Hardware
from metalassay.report.sections import plausibility
from metalassay.report.sections.benchmarks import figures
from metalassay.report.sections.doubt import FEWEST_ROUNDS, WIDEST, spread
from metalassay.results import anonymise, parse
from metalassay.results.measurement import WHOLE_SOURCE, Measurement

_WARNED = ("warm: ", "drifted: ", "not steady")
"""How the marks begin that are warnings; every other mark is an error."""
_LONGEST = 300  # characters of a line about a file
_CLOCKS_DIFFER = timedelta(days=1)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file, at the field ``where``; a warning does not keep it from being accepted."""

    where: str
    what: str
    warning: bool = False

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.where}: {self.what}"


class NoResultError(ValueError):
    """The file is no benchmark run of ours at all."""


def check(content: bytes, *, now: datetime | None = None) -> list[Problem]:
    """Return what is wrong with a file, errors first; an empty list if nothing is.

    Raises ``NoResultError`` for a file that is not a benchmark run. ``now`` is the time of the check.
    """
    document = _document(content)
    try:
        measured = parse.parse(content, "")
    except FieldError as error:
        return [_as_problem(error)]
    assert isinstance(measured, tuple)  # noqa: S101  (``_document`` has looked)
    if not measured:
        return [Problem("benchmarks", "is empty: no benchmark ended with a correct result")]
    found = [
        *_about_the_machine(measured[0]),
        *_about_the_run(document, measured, now or datetime.now(UTC)),
        *_about_conditions(document, measured),
        *(one for at, each in enumerate(measured) for one in _about_one(document, each, at)),
        *(Problem(_shown(at), _shown(what)) for at, what in _contradictions(document, measured)),
        *_personal(content),
    ]
    return sorted(dict.fromkeys(found), key=lambda one: one.warning)


def _shown(text: str) -> str:
    """Return text of the file as a terminal can print it, on one line and of a sensible length."""
    return one_line(printable(text[:_LONGEST]))


def _contradictions(
    document: Mapping[str, Any], measured: tuple[Measurement, ...]
) -> Iterator[tuple[str, str]]:
    yield from contradictions.about_the_machine(document, measured[0].machine)
    yield from contradictions.about_the_run(document, measured)
    for at, each in enumerate(measured):
        yield from contradictions.about_one(document["benchmarks"][at], each, at)
    yield from contradictions.unknown(document)


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = parse_json(content)
    except FieldError:
        raise NoResultError("not JSON in UTF-8") from None
    about = document.get("metalassay") if isinstance(document, dict) else None
    schema = about.get("schema") if isinstance(about, dict) else None
    if not (isinstance(schema, str) and schema.startswith(f"{parse.BENCHMARKS}/")):
        raise NoResultError("not a benchmark run of metalassay")
    return dict(document)


def _as_problem(error: FieldError) -> Problem:
    """Return what the reader of the file refused, at the field that it named."""
    text = str(error)
    missing = " is missing"
    if text.endswith(missing):
        return Problem(text.removesuffix(missing), missing.strip())
    place, _, what = text.partition(": ")
    return Problem(place, what) if what else Problem("top level", text)


def _about_the_machine(one: Measurement) -> Iterator[Problem]:
    machine, place = one.machine, "machine_info.hardware"
    for name in ("chip", "memory_bytes"):
        if getattr(machine, name) is None:
            yield Problem(f"{place}.{name}", "is not known")
    if machine.physical_cores is None and machine.logical_cores is None:
        yield Problem(f"{place}.physical_cores", "is not known")
    if machine.translated:
        yield Problem(
            f"{place}.translated", "an Intel Python under Rosetta is not this Mac's speed"
        )
    if machine.system == "Darwin":
        yield from _about_a_mac(machine, place)
    if machine.virtual:
        yield Problem(f"{place}.virtual", "a virtual machine, not the chip alone", warning=True)


def _about_a_mac(machine: Hardware, place: str) -> Iterator[Problem]:
    chip = chips.find(machine)
    if chip is None:
        if not machine.virtual:
            yield Problem(f"{place}.chip", f"{machine.chip} is not in chips.toml")
    elif machine.gpu_cores is None:
        yield Problem(f"{place}.gpu_cores", "is not known")
    elif chip.memory_bandwidth is None:
        what = f"{machine.chip} with {machine.gpu_cores} GPU cores is not in chips.toml"
        yield Problem(f"{place}.gpu_cores", what)
    elif chip.fp32_tflops is None:
        what = "the arithmetic of this GPU is not known, so no rate is checked against it"
        yield Problem(f"{place}.chip", what, warning=True)


def _about_the_run(
    document: Mapping[str, Any], measured: tuple[Measurement, ...], now: datetime
) -> Iterator[Problem]:
    first = measured[0]
    needed = ["torch", "python", "metalassay"]
    needed += ["macos"] if first.machine.system == "Darwin" else []
    for name in needed:
        if name not in first.versions:
            yield Problem(f"versions.{name}", "is missing")
    if first.when > now + _CLOCKS_DIFFER:
        yield Problem("datetime", f"{first.when:%Y-%m-%d} is in the future")
    if first.emulated:
        yield Problem("benchmarks", "a rehearsal: mps was emulated, so nothing was measured")
    proof = document["metalassay"].get("selftest")
    checks = proof.get("checks") if isinstance(proof, dict) else None
    if not isinstance(checks, list) or not checks:
        yield Problem(
            "metalassay.selftest", "is missing: nothing shows that the clock can be trusted"
        )
        return
    for at, each in enumerate(checks):
        if not (isinstance(each, dict) and each.get("passed") is True):
            what = each.get("name") if isinstance(each, dict) else "not a check"
            yield Problem(f"metalassay.selftest.checks[{at}]", f"failed: {what}")


def _about_conditions(
    document: Mapping[str, Any], measured: tuple[Measurement, ...]
) -> Iterator[Problem]:
    """Judge the recorded conditions again: a mark that somebody removed is found here."""
    place = Field(document).get("metalassay").find("conditions")
    try:
        before, after = (_conditions(place.get(name)) for name in ("before", "after"))
    except FieldError as error:
        yield _as_problem(error)
        return
    # What the hypervisor took, and other programs on a Mac, needs the duration of the run, which only the marks know.
    flags = list(conditions.flags(before, after, seconds=0))
    for flag in flags:
        yield Problem("metalassay.conditions", flag, warning=flag.startswith(_WARNED))
    for where, what in contradictions.about_the_start(before):
        if what not in flags:
            yield Problem(where, what)
    warned = [flag for flag in flags if flag.startswith(_WARNED)]
    for where, what in contradictions.about_marks(warned, measured):
        yield Problem(where, what)


def _conditions(place: Field) -> Conditions:
    """Read a snapshot; what a file does not record stays None."""
    numbers = (
        *("load", "battery", "speed_limit", "temperature", "available_bytes", "swapped", "stolen"),
        *("busy", "own"),
    )
    values: dict[str, Any] = {field.name: None for field in dataclasses.fields(Conditions)}
    for name in numbers:
        values[name] = place.find(name).or_none(lambda one: one.number(-1e18, 1e18))
    values["cores"] = place.find("cores").or_none(Field.whole)
    values["niceness"] = place.find("niceness").or_none(lambda one: int(one.number(-100, 100)))
    values["background"] = place.find("background").or_none(Field.flag)
    for name in ("power_mode", "pressure", "thermal_pressure"):
        values[name] = place.find(name).or_none(Field.name)
    return Conditions(**{**values, "environment": {}})


def _about_one(document: Mapping[str, Any], one: Measurement, at: int) -> Iterator[Problem]:
    place = f"benchmarks[{at}]"
    extra = f"{place}.extra_info"
    chip = chips.find(one.machine)
    refused = figures(one, chip).refused
    if refused and not one.emulated:
        yield Problem(f"{place}.stats", refused)
    for doubt in plausibility.doubts(one, chip):
        yield Problem("metalassay.selftest", doubt.sentence, warning=not doubt.refused)
    if one.measured_peak is None:
        yield Problem("metalassay.selftest", f"the measured peak of {one.device} is missing")
    if one.parity is None or one.parity:
        yield Problem(
            f"{extra}.parity", one.parity or "is missing: nobody compared it with the CPU"
        )
    if one.identity.startswith(WHOLE_SOURCE):
        yield Problem(f"{extra}.identity", "is missing: the file is from before workloads had one")
    # What RLHF must move is not known: what it generates is not.
    if one.compulsory_bytes is None and one.workload not in suite.RLHF:
        yield Problem(f"{extra}.compulsory_bytes_per_call", "is missing")
    for flag in one.flags:
        yield Problem(f"{extra}.marks", flag, warning=flag.startswith(_WARNED))
    yield from _about_length(Field(document["benchmarks"][at], place), one)


def _about_length(benchmark: Field, one: Measurement) -> Iterator[Problem]:
    if one.rounds < FEWEST_ROUNDS:
        yield Problem(
            f"{benchmark.place}.stats.data",
            f"too short: {one.rounds} rounds, {FEWEST_ROUNDS} are needed for quartiles",
        )
    elif spread(one.seconds) > WIDEST:
        yield Problem(
            f"{benchmark.place}.stats.data",
            f"unsteady: the middle half of the rounds spreads over {spread(one.seconds):.0%}"
            f" of the median; {WIDEST:.0%} is allowed",
        )
    options = benchmark.find("options")
    given = options.find("max_time") if isinstance(options.value, dict) else options
    if given.value is None:
        yield Problem(f"{benchmark.place}.options.max_time", "is missing")
        return
    try:
        seconds = given.number(0, MOST_SECONDS)
    except FieldError as error:
        yield _as_problem(error)
        return
    if seconds < LEAST_SECONDS:
        yield Problem(
            given.place, f"too short: {seconds:g} s of rounds, {LEAST_SECONDS:g} s are needed"
        )


def _personal(content: bytes) -> Iterator[Problem]:
    """Yield what `metalassay submit` would remove."""
    try:
        stripped = anonymise.strip(content)
    except FieldError as error:
        yield Problem("top level", str(error))
        return
    for place, kind in stripped.removed:
        yield Problem(place, f"{kind} would be removed by `metalassay submit`")
