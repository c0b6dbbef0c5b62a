"""Score `metalassay explain` on a corpus of error reports with known right answers.

    python tools/explain_score.py tests/data/explain/reports.jsonl --failures
    python tools/explain_score.py ../shared/field/reports.jsonl \\
        --checks tests/data/explain/handed_checks.jsonl

A line of a corpus is a JSON object with `id`, `text`, `versions` (as --versions takes them, or null),
`answer` (in words, for people), and perhaps `kind`. How a machine judges an answer is in `right`, there
or in the file of --checks: `any` has regular expressions of which one must be found in the first
explanation, `never` those that make it wrong, and `silent: true` says that no explanation is right too.
The line of the text that an explanation quotes is left out before: an answer is not right for
repeating the question.

An explanation that says that it does not apply to the given versions is wrong even where it names the
right cure, because the versions of a report are those that print its text. That is a caveat, and so is
the word that a message is generic.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalassay.diagnosis import explain, explain_text

OUTCOMES = ("right", "wrong", "wrong, caveat", "silent")
WIDTH = 80
_ONE_LINE = 100_000  # columns: no line of an answer is wrapped


@dataclass(frozen=True)
class Shown:
    """The first explanation: all its text on one line, without the line that it quotes.

    ``elsewhere``: it says that it does not apply to the given versions. ``generic``: it says that other
    mistakes cause the message too.
    """

    title: str
    text: str
    elsewhere: bool
    generic: bool


@dataclass(frozen=True)
class Judged:
    """A report, what was shown for it (None: nothing was recognised), and one of ``OUTCOMES``."""

    id: str
    kind: str
    wanted: str
    shown: Shown | None
    outcome: str


def first_shown(text: str, versions: str | None) -> Shown | None:
    """Explain a text and return the explanation that is printed first, or None."""
    given = explain.parse_versions(versions) if versions else {}
    answer = explain.explain(text, given, given=bool(given))
    if not answer.explanations:
        return None
    first = answer.explanations[0]
    printed = _flat(explain_text.as_text(answer, width=_ONE_LINE, most=1))
    return Shown(
        title=first.found.title,
        text=printed.replace(_flat(first.found.words), "…"),
        elsewhere=not answer.explained or first.found.applies in ("no", "otherwise"),
        generic=first.found.generic,
    )


def outcome(shown: Shown | None, right: Mapping[str, Any]) -> str:
    """Judge what is shown by the check of a report."""
    if shown is None:
        return "right" if right.get("silent") else "silent"
    named = any(re.search(pattern, shown.text) for pattern in right["any"])
    forbidden = any(re.search(pattern, shown.text) for pattern in right["never"])
    if named and not forbidden and not shown.elsewhere:
        return "right"
    return "wrong, caveat" if shown.elsewhere or shown.generic else "wrong"


def judge(reports: Iterable[Mapping[str, Any]], checks: Mapping[str, Any]) -> list[Judged]:
    """Judge every report by its own check or, if it has one there, by that in ``checks``.

    Raises ``KeyError`` with the id of a report that has no check.
    """
    judged = []
    for report in reports:
        right = checks.get(report["id"], report.get("right"))
        if right is None:
            raise KeyError(report["id"])
        shown = first_shown(report["text"], report["versions"])
        judged.append(
            Judged(
                id=report["id"],
                kind=report.get("kind", "(not given)"),
                wanted=report["answer"],
                shown=shown,
                outcome=outcome(shown, right),
            )
        )
    return judged


def table(judged: Sequence[Judged]) -> str:
    """Format how often each outcome occurred, per kind and in all."""
    counts: dict[str, Counter[str]] = {}
    for one in judged:
        counts.setdefault(one.kind, Counter())[one.outcome] += 1
    lines = [f"{'kind':<13} {'reports':>7} " + " ".join(f"{name:>13}" for name in OUTCOMES)]
    if len(counts) > 1:
        counts["all"] = sum(counts.values(), Counter())
    for kind, count in counts.items():
        figures = " ".join(f"{count[name]:>13}" for name in OUTCOMES)
        lines.append(f"{kind:<13} {count.total():>7} {figures}")
    right = sum(one.outcome == "right" for one in judged)
    return "\n".join([*lines, f"{right} of {len(judged)} right"])


def failures(judged: Iterable[Judged]) -> str:
    """Format each report that was not answered rightly: what was wanted, and what was shown."""
    return "\n".join(
        f"{one.id}: {one.outcome}\n"
        + _cut(f"  wanted  {one.wanted}")
        + (_cut(f"\n  shown   {one.shown.title}") if one.shown else "")
        for one in judged
        if one.outcome != "right"
    )


def load(path: Path) -> list[dict[str, Any]]:
    """Read a file with a JSON object on each line."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the score of a corpus."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, metavar="CORPUS.jsonl")
    parser.add_argument("--checks", type=Path, metavar="FILE", help="id and right of each report")
    parser.add_argument("--failures", action="store_true", help="list what is not right")
    options = parser.parse_args(arguments)
    rows = load(options.checks) if options.checks else []
    judged = judge(load(options.corpus), {row["id"]: row["right"] for row in rows})
    print(table(judged))
    if options.failures:
        print(failures(judged))


def _flat(text: str) -> str:
    return " ".join(text.split())


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


if __name__ == "__main__":
    main()
