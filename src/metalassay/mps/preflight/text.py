"""Lays a preflight out for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from metalassay.mps.preflight.predict import Finding, Place, Preflight

LIMITS = (
    "Seen: which operators were called, here, on the CPU. Not seen: dtypes and shapes that a kernel"
    " on MPS refuses, its numbers, its speed; what runs in other threads and processes; branches"
    " that this run did not take. Another torch version may take an operator apart otherwise."
)


def as_text(found: Preflight, version: str, places: int = 3) -> str:
    """Return the screen for a preflight, judged for the torch ``version``; ``places`` an operator."""
    lines = [
        f"{found.calls:,} operator calls, {found.operators} operators, recorded on the CPU with torch"
        f" {found.torch}" + (f"; {found.ended}" if found.ended else ""),
        "",
        f"On MPS with torch {version}: {_verdict(found, version)}.",
        "",
    ]
    lines += _versions(found, version)
    for title, state in (
        (
            "fail with NotImplementedError, or run on the CPU with PYTORCH_ENABLE_MPS_FALLBACK=1:",
            "missing",
        ),
        ("always run on the CPU, with a warning:", "fallback"),
    ):
        chosen = [each for each in found.findings if each.states.get(version) == state]
        if chosen:
            lines += ["", f"With torch {version} these {title}"]
        for each in chosen:
            lines += _finding(each, version, places)
    if found.wide:
        lines += ["", "float64 or complex128, which MPS refuses in every version (TypeError):"]
        lines += [f"    {_place(each)}" for each in found.wide[:places]]
        lines += _more(found.wide, places)
    elsewhere = [each for each in found.findings if version not in each.states]
    if elsewhere:
        lines += ["", f"Fine with torch {version}, not with older ones:"]
        lines += [f"    {each.operator}: {_fix(each)}" for each in elsewhere]
    unknown = found.unknown.get(version, ())
    if unknown:
        lines += ["", f"Unknown to torch {version}, so not judged: {', '.join(unknown)}"]
    if found.custom:
        lines += ["", f"Not PyTorch's own, so not judged: {', '.join(found.custom)}"]
    return "\n".join([*lines, "", textwrap.fill(LIMITS, 96)])


def _verdict(found: Preflight, version: str) -> str:
    missing, fallback = (len(found.bad(version, state)) for state in ("missing", "fallback"))
    parts = [f"{missing} operator{'s' * (missing != 1)} would fail"] if missing else []
    if fallback:
        parts.append(f"{fallback} would always run on the CPU")
    if found.wide:
        parts.append(f"float64 at {len(found.wide)} line{'s' * (len(found.wide) != 1)}")
    return ", ".join(parts) or "every operator has a kernel"


def _versions(found: Preflight, chosen: str) -> list[str]:
    """Return a line a version, runs of equal ones as one, the chosen one marked."""
    rows = [
        (version, len(found.bad(version, "missing")), len(found.bad(version, "fallback")))
        for version in found.versions
    ]
    lines = ["    torch              fail   always on the CPU"]
    start = 0
    for index, (_, *numbers) in enumerate(rows):
        last = index + 1 == len(rows) or list(rows[index + 1][1:]) != numbers
        if last:
            span = rows[start][0] if start == index else f"{rows[start][0]} to {rows[index][0]}"
            inside = chosen in [row[0] for row in rows[start : index + 1]]
            mark = "  <" if inside else ""
            lines.append(f"    {span:<18} {numbers[0]:>4}   {numbers[1]:>4}{mark}")
            start = index + 1
    return lines


def _finding(found: Finding, version: str, places: int) -> list[str]:
    count = found.counts[version]
    head = f"  {found.operator}  {count:,} call{'s' * (count != 1)}; {_fix(found)}"
    if found.inside:
        around = ", ".join(each.partition("|")[0] for each in found.inside)
        head += f"\n      inside {around}, as the torch that ran makes it; another may do otherwise"
    lines = [head, *(f"      {_place(each)}" for each in found.places[:places])]
    return lines + _more(found.places, places)


def _fix(found: Finding) -> str:
    return f"fixed by torch {found.fixed_in}" if found.fixed_in else "no torch version fixes it"


def _more(found: Sequence[Place], places: int) -> list[str]:
    return [f"      and {len(found) - places} more lines"] if len(found) > places else []


def _place(place: Place) -> str:
    if not place.file:
        return f"{place.count:,} x from no Python line ({place.node or 'unknown'})"
    where = f"{_short(place.file)}:{place.line} in {place.function}"
    return f"{place.count:,} x {where}" + (f", backward ({place.node})" if place.node else "")


def _short(file: str) -> str:
    """Return a path as people look for it: below the working folder, or below site-packages."""
    path = Path(file)
    for marker in ("site-packages", "dist-packages"):
        if marker in path.parts:
            return str(Path(*path.parts[path.parts.index(marker) + 1 :]))
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
