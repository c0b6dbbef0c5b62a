"""The constructed result files in data/runs: reading and editing them, and reports of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import constructed_origin
from hand_made import find_chip

from metalassay import report
from metalassay.fields import FieldError
from metalassay.results import load
from metalassay.results.load import Loaded
from metalassay.results.parse import (
    Asked,
    Evidence,
    LargestBatch,
    Measurement,
    SmokeSet,
    SuiteFile,
    Unfinished,
    VersionSet,
    parse,
)

DATA = Path(__file__).parents[1] / "data" / "runs"
FILES = sorted(DATA.glob("constructed_*.json"))
ATTACK = "<script>alert('x')</script>|a`b``c```*_\"&amp;[x](javascript:y)\n# x\n|y"

# Fields that the reader compares with a list or reads as a time; anything else is free text.
FIXED = {"schema", "verdict", "outcome", "upstream", "mode", "device", "dtype", "unit", "system"}
FIXED |= {"started", "datetime"}


def loaded(*names: str) -> Loaded:
    """Read constructed files, each under its bare name."""
    found = load.load([DATA / f"constructed_{name}.json" for name in names])
    return Loaded(
        tuple(replace(each, file=Path(each.file).name) for each in found.compat),
        tuple(replace(each, file=Path(each.file).name) for each in found.measurements),
        found.warnings,
    )


def measured(name: str) -> list[Measurement]:
    """Return the measurements of one constructed file."""
    return list(loaded(f"benchmarks_{name}").measurements)


def build(
    sets: Iterable[VersionSet] = (),
    measurements: Iterable[Measurement] = (),
    warnings: Iterable[str] = (),
) -> report.Report:
    """Return the report of version sets and measurements, with limits of chips that do not change."""
    return report.build(Loaded(tuple(sets), tuple(measurements), tuple(warnings)), find_chip)


def report_of(edit: Callable[[Any], Any]) -> report.Report:
    """Return the report of all files, each edited; file names and a warning contain ``ATTACK``."""
    sets: list[VersionSet] = []
    measurements: list[Measurement] = []
    marks: list[Unfinished] = []
    batches: list[LargestBatch] = []
    experiments: list[Evidence] = []
    warnings: list[str] = []
    documents = {path.name: json.loads(path.read_text("utf-8")) for path in FILES}
    for name, document in {**documents, **constructed_origin.documents()}.items():
        try:
            found = parse(json.dumps(edit(document)).encode(), name + ATTACK)
        except FieldError as error:
            warnings.append(f"{name}: {error}")
            continue
        if isinstance(found, VersionSet):
            sets.append(found)
        elif isinstance(found, LargestBatch):
            batches.append(found)
        elif isinstance(found, Unfinished):
            marks.append(found)
        elif isinstance(found, Evidence):
            experiments.append(found)
        elif not isinstance(found, Asked | SmokeSet | SuiteFile):
            measurements.extend(found)
    read = load.Loaded(
        tuple(sets),
        tuple(measurements),
        (*warnings, ATTACK),
        batches=tuple(batches),
        unfinished=tuple(marks),
        experiments=tuple(experiments),
    )
    return report.build(read)


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], object]]:
    """Yield every value within a document with the path to it."""
    members: Any = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for key, member in members:
        yield (*path, key), member
        yield from places(member, (*path, key))


def with_everywhere(value: Any, attack: str = ATTACK, key: str = "") -> Any:
    """Return a document with ``attack`` at the end of every free text."""
    if isinstance(value, dict):
        return {name: with_everywhere(member, attack, name) for name, member in value.items()}
    if isinstance(value, list):
        return [with_everywhere(member, attack, key) for member in value]
    return value + attack if isinstance(value, str) and key not in FIXED else value
