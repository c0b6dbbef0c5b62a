"""The answer of a preflight in lines: what MPS lacks for a step, and from which line of the user's code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

_MOST = 5  # operators, and lines of an operator


def lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield one sentence for each operator that the chosen torch lacks, or one that says that there is none."""
    version = answer["version"]
    scope = f"{answer['operators']} operators in {answer['calls']:,} calls, recorded on the CPU"
    if answer["note"]:
        yield answer["note"]
    bad = [each for each in answer["findings"] if version in each["states"]]
    for each in bad[:_MOST]:
        yield _finding(each, version)
    if bad[_MOST:]:
        yield f"and {len(bad) - _MOST} more operators"
    refused = [each for each in answer["refusals"] if version in each["reasons"]]
    for each in refused[:_MOST]:
        calls = each["counts"][version]
        counted = f"{calls:,} call{'' if calls == 1 else 's'}"
        yield (
            f"REFUSED: {each['operator']} with {each['what']} ({counted}):"
            f" {_places(each['places'])}; {each['reasons'][version]}"
        )
    if refused[_MOST:]:
        yield f"and {len(refused) - _MOST} more that a kernel refuses"
    if answer["wide"]:
        where = _places(answer["wide"])
        yield f"float64 or complex128, which MPS rejects in every version (TypeError): {where}"
    if not bad and not refused and not answer["wide"]:
        yield f"every operator has a kernel on MPS with torch {version} ({scope})"
    else:
        yield f"judged for torch {version}; {scope}"
    older = [each for each in answer["findings"] if version not in each["states"]]
    if older:
        told = [f"{each['operator']} ({_fixed(each)})" for each in older[:_MOST]]
        more = f" and {len(older) - _MOST} more" if older[_MOST:] else ""
        yield f"not with every torch: {', '.join(told)}{more}"
    if answer["unknown"]:
        yield f"cannot tell for torch {version}: {', '.join(answer['unknown'][:_MOST])}"
    if answer["custom"]:
        yield f"not part of PyTorch, not judged: {', '.join(answer['custom'][:_MOST])}"
    yield "not covered: what else a kernel may refuse, its numbers and speed"


def _finding(each: Mapping[str, Any], version: str) -> str:
    calls = each["counts"][version]
    counted = f"{calls:,} call{'' if calls == 1 else 's'}"
    if each["states"][version] == "missing":
        what = f"MISSING: {each['operator']} (NotImplementedError; {counted})"
        helps = "runs it on the CPU" if each["cured"] else "does not help"
        helps = f"; PYTORCH_ENABLE_MPS_FALLBACK=1 {helps}"
    else:
        what, helps = f"ON THE CPU: {each['operator']} (with a warning; {counted})", ""
    inside = f", inside {each['inside'][0].partition('|')[0]}" if each["inside"] else ""
    return f"{what}{inside}: {_places(each['places'])}{helps}; {_fixed(each)}"


def _fixed(each: Mapping[str, Any]) -> str:
    return f"fixed by torch {each['fixed_in']}" if each["fixed_in"] else "no torch version fixes it"


def _places(places: Sequence[Mapping[str, Any]]) -> str:
    told = [_place(each) for each in places[:2]]
    more = f" and {len(places) - 2} more" if places[2:] else ""
    return ", ".join(told) + more


def _place(place: Mapping[str, Any]) -> str:
    backward = f", backward ({place['node']})" if place["node"] else ""
    if not place["file"]:
        return (place["function"] or "no Python line") + backward
    return f"{PurePath(place['file']).name}:{place['line']} in {place['function']}{backward}"
