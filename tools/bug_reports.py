"""Count the public reports of each known bug that we know of: the field `reports` of the bug data.

    python tools/bug_reports.py tests/data/explain/reports*.jsonl ../shared/field/reports.jsonl

A report is an issue or a thread that somebody wrote, and counts once however often it is linked. Known are
those that a row of the data links to, and the sources of those in the corpora that `explain` answers
rightly, with that bug first. Pull requests are fixes and do not count. What nobody reported counts as 0.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import explain_score

from metalassay import bugs
from metalassay.diagnosis import explain

CHECKS = Path(__file__).parents[1] / "tests" / "data" / "explain" / "handed_checks.jsonl"
"""How to judge the answers to a corpus that has no checks of its own."""

_THREAD = re.compile(
    r"https://(?:github\.com/[\w.-]+/[\w.-]+/(?:issues|discussions)/\d+"
    r"|(?:discuss\.[\w.-]+|stackoverflow\.com|forums?\.[\w.-]+)/[^\s\"'),#]+)"
)


def linked() -> dict[str, set[str]]:
    """Return the issues and threads that the row of each bug links to."""
    found = {}
    folder = resources.files("metalassay.bugs").joinpath("data")
    for file in folder.iterdir():
        if file.name.endswith(".toml"):
            for row in file.read_text("utf-8").split("[[bug]]")[1:]:
                [bug_id] = re.findall(r'^id = "(.+?)"', row, re.MULTILINE)[:1]
                found[bug_id] = set(_THREAD.findall(row))
    return found


def collected(corpora: Iterable[Path]) -> dict[str, set[str]]:
    """Return the sources of the reports that `explain` answers rightly, with each bug first."""
    found = defaultdict(set)
    checks = {each["id"]: each["right"] for each in explain_score.load(CHECKS)}
    for corpus in corpora:
        for line in corpus.read_text("utf-8").splitlines():
            report = json.loads(line)
            right = report.get("right") or checks[report["id"]]
            shown = explain_score.first_shown(report["text"], report["versions"])
            if shown is None or explain_score.outcome(shown, right) != "right":
                continue
            given = explain.parse_versions(report["versions"]) if report["versions"] else {}
            answer = explain.explain(report["text"], given, given=bool(given))
            for explanation in answer.explanations[:1]:
                [*threads] = _THREAD.findall(report["source"]) or [report["source"]]
                found[explanation.found.id].add(threads[0])
    return found


def main() -> None:
    """Print a line per bug: the count, what the data says, the id."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("corpora", nargs="+", type=Path, metavar="FILE")
    corpora = parser.parse_args().corpora
    links, reports = linked(), collected(corpora)
    for bug in bugs.load():
        count = len(links[bug.id] | reports.get(bug.id, set()))
        mark = " " if count == bug.reports else "!"
        print(f"{mark} {count:>3} {bug.reports:>3}  {bug.id}")


if __name__ == "__main__":
    main()
