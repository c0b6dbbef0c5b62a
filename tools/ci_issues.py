"""Open an issue for each new verdict on what comes next upstream, and close it when the verdict is gone.

python tools/ci_issues.py FOLDER     the verdict files below it; in a workflow

What `plan` decides rests on the verdict files and on the issues that have the label, which only members can give:
an issue of somebody else never counts as ours. The same verdict never has a second issue. One that a person closed as
"not planned" stays closed. Nothing is closed without evidence: the bug must have been tested and be as the catalogue
says; a set that could not be installed or a skipped test closes nothing.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ci_outputs
import ci_upstream
import github_api

from metalassay import bugs
from metalassay.bugs import verdict
from metalassay.results import verdict_file
from metalassay.results.verdict_file import VersionSet

LABEL = "upstream"
# A line of its own: the evidence, in which foreign code can write what it likes, is indented.
MARK = re.compile(
    r"^<!-- metalassay-upstream: ([\w.+-]+)/([\w.+-]+) = ([\w ?]+) -->\r?$", re.MULTILINE
)
EVIDENCE = 1500  # characters of a traceback


@dataclass(frozen=True)
class Seen:
    """What one set showed of one bug: ``word`` is a verdict of the catalogue's words."""

    set: str
    bug: str
    word: str
    text: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What an issue is about."""
        return self.set, self.bug


@dataclass(frozen=True)
class Issue:
    """An issue of ours. ``word`` is the verdict that it tells of last; ``given_up``: closed as not planned."""

    number: int
    set: str
    bug: str
    word: str
    open: bool
    given_up: bool = False


@dataclass
class Plan:
    """What to do: issues to open, and (issue, verdict) to comment on, to open again and to close."""

    open: list[Seen] = field(default_factory=list)
    comment: list[tuple[Issue, Seen]] = field(default_factory=list)
    reopen: list[tuple[Issue, Seen]] = field(default_factory=list)
    close: list[tuple[Issue, Seen]] = field(default_factory=list)


def plan(verdicts: Iterable[Seen], issues: Iterable[Issue]) -> Plan:
    """Decide what to do about the verdicts, given the issues that exist; does nothing itself.

    A bug has one issue per set: the open one, else the newest. A different verdict on the same bug is a
    comment there.
    """
    ours: dict[tuple[str, str], Issue] = {}
    for issue in sorted(issues, key=lambda issue: (issue.open, issue.number)):
        ours[issue.set, issue.bug] = issue
    done, decided = Plan(), set()
    for seen in verdicts:
        if seen.key in decided:
            raise ValueError(f"two verdicts on {seen.bug} in {seen.set}")
        decided.add(seen.key)
        there = ours.get(seen.key)
        if seen.word in verdict.RED:
            if there is None:
                done.open.append(seen)
            elif there.open and there.word != seen.word:
                done.comment.append((there, seen))
            elif not there.open and not there.given_up:
                done.reopen.append((there, seen))
        elif seen.word != verdict.NOT_TESTED and there is not None and there.open:
            done.close.append((there, seen))
    return done


def read(folder: Path) -> list[Seen]:
    """Return the verdicts of all sets, from the files that foreign code has written: upstream-SET/SET.json.

    Only what the catalogue knows is taken: sets by their name, bugs by their id, verdicts by their word.
    Ends the program for a file that is no verdict file.
    """
    known = {bug.id for bug in bugs.load()}
    found = []
    for name in ci_upstream.sets():
        path = folder / f"upstream-{name}" / f"{name}.json"
        if not path.exists():
            continue
        try:
            one = verdict_file.load(path)
        except (OSError, ValueError) as error:
            sys.exit(f"ci_issues: {path.name}: {error}")
        if one.distrusted is None:
            found += [
                Seen(name, bug.id, bug.verdict, _text(one, bug))
                for bug in one.bugs
                if bug.id in known
            ]
    return found


def _text(one: VersionSet, bug: verdict_file.BugResult) -> str:
    stack = ", ".join(f"{name} {version}" for name, version in sorted(one.versions.items()))
    ends = [test.evidence for test in bug.tests if test.outcome in verdict_file.FAILURES]
    said = "\n".join([f"versions: {stack}", f"verdict: {bug.verdict}", "", *ends])[:EVIDENCE]
    # Indented, it is text: no name in it is notified, and no fence of it ends the block.
    return "\n".join(f"    {line}" for line in said.splitlines())


def mark(seen: Seen) -> str:
    """Return the line by which an issue is found again."""
    return f"<!-- metalassay-upstream: {seen.set}/{seen.bug} = {seen.word} -->"


def ours(read_issues: Sequence[Mapping[str, object]]) -> list[Issue]:
    """Return those of the API's issues that have our mark."""
    found = []
    for issue in read_issues:
        if match := MARK.search(str(issue["body"] or "")):
            found.append(
                Issue(
                    int(str(issue["number"])),
                    match[1],
                    match[2],
                    match[3],
                    open=issue["state"] == "open",
                    given_up=issue.get("state_reason") == "not_planned",
                )
            )
    return found


def body(seen: Seen) -> str:
    """Return the text of an issue."""
    return (
        f"The nightly run of `{seen.set}` found `{seen.bug}`: **{seen.word}**"
        f" ({verdict.MEANING[seen.word]}).\n\n{seen.text}\n\nThis issue is closed by the run in which the verdict"
        f" is gone.\n\n{mark(seen)}\n"
    )


def carry_out(github: github_api.GitHub, todo: Plan) -> None:
    """Do what was decided."""
    for seen in todo.open:
        title = f"{seen.bug}: {seen.word} with {seen.set}"
        print(f"#{github.open_issue(title, body(seen), LABEL)} opened: {title}")
    for issue, seen in todo.comment:
        github.comment(issue.number, f"Now the verdict is **{seen.word}**.\n\n{seen.text}")
        github.set_issue(issue.number, body=body(seen))
        print(f"#{issue.number} commented: {seen.word}")
    for issue, seen in todo.reopen:
        github.set_issue(issue.number, state="open", body=body(seen))
        github.comment(issue.number, f"It is back: **{seen.word}**.\n\n{seen.text}")
        print(f"#{issue.number} opened again: {seen.word}")
    for issue, seen in todo.close:
        github.comment(issue.number, f"The verdict is gone: **{seen.word}**.")
        github.set_issue(issue.number, state="closed", state_reason="completed")
        print(f"#{issue.number} closed: {seen.word}")


def main(arguments: list[str] | None = None) -> int:
    """Read, decide, do."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    seen = read(folder)
    if not seen:
        sys.exit(f"ci_issues: no verdict below {folder}: nothing was tested")
    github = github_api.GitHub.of_the_runner()
    todo = plan(seen, ours(github.issues(LABEL)))
    carry_out(github, todo)
    red = [each for each in seen if each.word in verdict.RED]
    lines = [f"- `{each.set}`: `{each.bug}`: **{each.word}**" for each in red] or ["Nothing new."]
    ci_outputs.summary("### Upstream\n\n" + "\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
