"""The text of a preflight for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from metalassay.mps.operators.oracle import State
from metalassay.mps.preflight.predict import Finding, Place, Preflight

LIMITS = (
    "Recorded: the operators called here, on the CPU. Not covered: dtypes and shapes that a kernel on"
    " MPS rejects, its numbers and its speed; other threads and processes; branches that this run did"
    " not take. Another torch version may decompose an operator differently."
)

_TITLES: tuple[tuple[str, State], ...] = (
    (
        "fail with NotImplementedError, or run on the CPU with PYTORCH_ENABLE_MPS_FALLBACK=1:",
        "missing",
    ),
    ("always run on the CPU, with a warning:", "fallback"),
)


def as_text(preflight: Preflight, version: str, places: int = 3) -> str:
    """Return the report for the torch ``version``, with at most ``places`` lines per operator."""
    lines = [
        f"{preflight.calls:,} operator calls, {preflight.operators} operators, recorded on the CPU with torch"
        f" {preflight.torch}" + (f"; {preflight.ended}" if preflight.ended else ""),
        "",
        f"On MPS with torch {version}: {_verdict(preflight, version)}.",
        "",
    ]
    lines += _versions(preflight, version)
    for title, state in _TITLES:
        findings = preflight.bad(version, state)
        if findings:
            lines += ["", f"With torch {version} these {title}"]
        for finding in findings:
            lines += _finding(finding, version, places)
    if preflight.wide:
        lines += ["", "float64 or complex128, which MPS rejects in every version (TypeError):"]
        lines += [f"    {_place(place)}" for place in preflight.wide[:places]]
        lines += _more(preflight.wide, places)
    fine_here = [finding for finding in preflight.findings if version not in finding.states]
    if fine_here:
        lines += ["", f"Fine with torch {version}, not with older ones:"]
        lines += [f"    {finding.operator}: {_fix(finding)}" for finding in fine_here]
    unknown = preflight.unknown.get(version, ())
    if unknown:
        lines += [
            "",
            f"Cannot tell for torch {version}, which lacks or may not call: {', '.join(unknown)}",
        ]
    if preflight.custom:
        lines += ["", f"Not part of PyTorch, not judged: {', '.join(preflight.custom)}"]
    return "\n".join([*lines, "", textwrap.fill(LIMITS, 96)])


def _verdict(preflight: Preflight, version: str) -> str:
    missing, fallback = (len(preflight.bad(version, state)) for state in ("missing", "fallback"))
    parts = [f"{missing} operator{'s' * (missing != 1)} would fail"] if missing else []
    if fallback:
        parts.append(f"{fallback} would always run on the CPU")
    if preflight.wide:
        parts.append(f"float64 at {len(preflight.wide)} line{'s' * (len(preflight.wide) != 1)}")
    return ", ".join(parts) or "every operator has a kernel"


def _versions(preflight: Preflight, chosen: str) -> list[str]:
    """Return a table with one row per run of versions with equal counts; the chosen one is marked."""
    rows = [
        (version, len(preflight.bad(version, "missing")), len(preflight.bad(version, "fallback")))
        for version in preflight.versions
    ]
    lines = ["    torch              fail   always on the CPU"]
    start = 0
    for index, (_, *numbers) in enumerate(rows):
        run_ends = index + 1 == len(rows) or list(rows[index + 1][1:]) != numbers
        if run_ends:
            span = rows[start][0] if start == index else f"{rows[start][0]} to {rows[index][0]}"
            mark = "  <" if chosen in [row[0] for row in rows[start : index + 1]] else ""
            lines.append(f"    {span:<18} {numbers[0]:>4}   {numbers[1]:>4}{mark}")
            start = index + 1
    return lines


def _finding(finding: Finding, version: str, places: int) -> list[str]:
    count = finding.counts[version]
    head = f"  {finding.operator}  {count:,} call{'s' * (count != 1)}; {_fix(finding)}"
    if finding.inside:
        around = ", ".join(name.partition("|")[0] for name in finding.inside)
        head += f"\n      inside {around} in the torch that ran; another version may differ"
    lines = [head, *(f"      {_place(place)}" for place in finding.places[:places])]
    return lines + _more(finding.places, places)


def _fix(finding: Finding) -> str:
    return f"fixed by torch {finding.fixed_in}" if finding.fixed_in else "no torch version fixes it"


def _more(lines: Sequence[Place], places: int) -> list[str]:
    more = len(lines) - places
    return [f"      and {more} more line{'s' * (more != 1)}"] if more > 0 else []


def _place(place: Place) -> str:
    if not place.file:
        return f"{place.count:,} x from no Python line ({place.node or 'unknown'})"
    where = f"{_short(place.file)}:{place.line} in {place.function}"
    return f"{place.count:,} x {where}" + (f", backward ({place.node})" if place.node else "")


def _short(file: str) -> str:
    """Return a path relative to site-packages or to the working directory, if it is inside one."""
    path = Path(file)
    for marker in ("site-packages", "dist-packages"):
        if marker in path.parts:
            return str(Path(*path.parts[path.parts.index(marker) + 1 :]))
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
