"""The text of a preflight for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from metalassay.mps import ported
from metalassay.mps.operators.oracle import State
from metalassay.mps.preflight.predict import Finding, Place, Preflight, Refusal

WIDTH = 80
LIMITS = (
    "Not covered: dtypes and sizes that a kernel of MPS rejects and PyTorch's tests do not name, its numbers"
    " and speed; branches that this run did not take; worker processes of a DataLoader, which stay on the CPU"
    " on a Mac too. Another torch may make an operator of other ones."
)

_TITLES: tuple[tuple[str, State], ...] = (
    ("without a kernel on MPS (NotImplementedError):", "missing"),
    ("always run on the CPU, with a warning:", "fallback"),
)


def as_text(preflight: Preflight, version: str, places: int = 3) -> str:
    """Return the report for the torch ``version``, with at most ``places`` lines per operator."""
    lines = [
        *_filled(
            f"{preflight.calls:,} operator calls, {preflight.operators} operators, recorded on the CPU with"
            f" torch {preflight.torch}" + (f"; {preflight.ended}" if preflight.ended else "")
        ),
        *(line for sentence in _scope(preflight) for line in _filled(sentence)),
        "",
        *_filled(f"On MPS with torch {version}: {_verdict(preflight, version)}."),
        "",
    ]
    lines += _versions(preflight, version)
    for title, state in _TITLES:
        findings = preflight.bad(version, state)
        if findings:
            lines += ["", f"With torch {version} {title}"]
        for finding in findings:
            lines += _finding(finding, version, places)
    if refused := preflight.refused(version):
        title = f"With torch {version} refused by a kernel of MPS (the fallback does not help):"
        lines += ["", *_filled(title)]
        for refusal in refused:
            lines += _refusal(refusal, version, places)
    if preflight.wide:
        lines += [
            "",
            *_filled(
                "float64 or complex128, which MPS rejects in every version (TypeError; the fallback does not"
                " help):"
            ),
        ]
        lines += [f"    {_place(place)}" for place in preflight.wide[:places]]
        lines += _more(preflight.wide, places)
    if preflight.ported:
        lines += ["", ported.TITLE]
        lines += ported.as_text(
            preflight.ported, lambda file, line: f"{ported.shortened(file)}:{line}", WIDTH
        )
    fine_here = [finding for finding in preflight.findings if version not in finding.states]
    if fine_here:
        lines += ["", f"Fine with torch {version}, not with older ones:"]
        lines += [f"    {finding.operator}: {_fix(finding)}" for finding in fine_here]
    unknown = preflight.unknown.get(version, ())
    if unknown:
        lines += [
            "",
            *_filled(
                f"Cannot tell for torch {version}, which lacks or may not call: {', '.join(unknown)}"
            ),
        ]
    if preflight.custom:
        lines += ["", *_filled(f"Not part of PyTorch, not judged: {', '.join(preflight.custom)}")]
    return "\n".join([*lines, "", *_filled(LIMITS)])


def _filled(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _scope(preflight: Preflight) -> list[str]:
    """Return sentences about what was recorded besides the main thread, and what was not."""
    parts = []
    if preflight.threads:
        parts.append(_count(preflight.threads, "other thread"))
    if preflight.processes:
        parts.append(_count(preflight.processes, "process") + " that it started")
    sentences = [f"Recorded too: {' and '.join(parts)}."] if parts else []
    if preflight.lost:
        sentences.append(
            f"Not recorded: {_count(preflight.lost, 'process')} that it started and that left no recording"
            " (killed, or ended without Python's own end)."
        )
    if preflight.replaced:
        sentences.append(
            f"The program names the device mps itself: {_count(preflight.replaced, 'call')} got the CPU."
        )
    return sentences


def _count(number: int, noun: str) -> str:
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def _verdict(preflight: Preflight, version: str) -> str:
    missing, fallback = (len(preflight.bad(version, state)) for state in ("missing", "fallback"))
    parts = [f"{_count(missing, 'operator')} would fail"] if missing else []
    if fallback:
        parts.append(f"{fallback} would always run on the CPU")
    if refused := len(preflight.refused(version)):
        parts.append(f"{refused} would refuse a dtype or sizes")
    if preflight.wide:
        parts.append(f"float64 at {_count(len(preflight.wide), 'line')}")
    verdict = ", ".join(parts) or "every operator has a kernel"
    vain = len({(each.id, each.file, each.line) for each in preflight.ported})
    if vain:
        verdict += f"; {_count(vain, 'call')} for CUDA without effect"
    return verdict


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
    lines = [f"  {finding.operator}  {_count(finding.counts[version], 'call')}; {_fix(finding)}"]
    notes = []
    if finding.states[version] == "missing":
        notes.append(
            "PYTORCH_ENABLE_MPS_FALLBACK=1 runs it on the CPU"
            if finding.cured
            else "PYTORCH_ENABLE_MPS_FALLBACK=1 does not help"
        )
    copied = finding.copied.get(version, 0)
    if copied and (finding.cured or finding.states[version] == "fallback"):
        notes.append(f"about {_size(copied)} copied between CPU and GPU in this run")
    lines += _below("; ".join(notes)) if notes else []
    if finding.inside:
        around = ", ".join(name.partition("|")[0] for name in finding.inside)
        lines += _below(f"inside {around} in the torch that ran; another version may differ")
    return (
        lines
        + [f"      {_place(place)}" for place in finding.places[:places]]
        + _more(finding.places, places)
    )


def _refusal(refusal: Refusal, version: str, places: int) -> list[str]:
    return [
        f"  {refusal.operator} with {refusal.what}",
        *_below(f"{_count(refusal.counts[version], 'call')}; {refusal.reasons[version]}"),
        *(f"      {_place(place)}" for place in refusal.places[:places]),
        *_more(refusal.places, places),
    ]


def _below(text: str) -> list[str]:
    indent = " " * 6
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False
    )


def _size(number: int) -> str:
    size = float(number)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _fix(finding: Finding) -> str:
    return f"fixed by torch {finding.fixed_in}" if finding.fixed_in else "no torch version fixes it"


def _more(lines: Sequence[Place], places: int) -> list[str]:
    more = len(lines) - places
    return [f"      and {more} more line{'s' * (more != 1)}"] if more > 0 else []


def _place(place: Place) -> str:
    if not place.file:
        return f"{place.count:,} x from no Python line ({place.node or 'unknown'})"
    where = f"{ported.shortened(place.file)}:{place.line} in {place.function}"
    return f"{place.count:,} x {where}" + (f", backward ({place.node})" if place.node else "")
