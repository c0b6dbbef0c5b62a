"""What metalassay knows about the errors in an answer, as `metalassay explain` would say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from metalassay.diagnosis import explain

_MOST = 2  # things to do


def lines(answer: Mapping[str, Any], installed: Mapping[str, str]) -> list[str]:
    """Return lines for each thing known that explains an error of the answer: what it is, and what to do.

    ``installed`` maps package names to versions.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in _errors(answer):
        for each in explain.explain(text, installed).explanations:
            if each.explains and not each.found.generic and each.found.do:
                found[each.found.title] = each.found.do[:_MOST]
                break
    return [
        line
        for title, do in found.items()
        for line in (f"known: {title}", *(f"do: {each}" for each in do))
    ]


def _errors(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield the messages of the errors in an answer: of the whole, of a device, of a dtype."""
    yield from filter(None, (answer.get("error"), answer.get("why")))
    for row in answer.get("rows", ()):
        yield from filter(None, (row.get("why"), *row.get("failed", {}).values()))
