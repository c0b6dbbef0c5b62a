"""The page of `metalassay check`: the answer first, every bug somewhere, and no line too long."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from metalassay import bugs
from metalassay.diagnosis import check_text
from metalassay.results import verdict_file

EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence" / "compat"


@pytest.fixture
def known() -> verdict_file.VersionSet:
    return verdict_file.load(EVIDENCE / "accelerate-1.8.0.json")


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_no_line_is_wider_than_the_terminal(known: verdict_file.VersionSet, width: int) -> None:
    page = check_text.as_text(known, width)
    assert [line for line in page.splitlines() if len(line) > width and " " in line.strip()] == []


def test_every_known_bug_is_here_fine_or_counted_with_a_reason(
    known: verdict_file.VersionSet,
) -> None:
    page = check_text.as_text(known, 80)
    here = page.partition("in these versions, as known (")[2].partition(")")[0]
    untested = page.partition("not tested (")[2].partition(" ")[0]
    fine = sum(bug.verdict == "fine" for bug in known.bugs)
    assert int(here) + fine + int(untested) == len(
        {bug.id for bug in bugs.load()} | {bug.id for bug in known.bugs}
    )


def test_what_has_no_test_in_the_file_has_a_reason(known: verdict_file.VersionSet) -> None:
    page = check_text.as_text(known, 80)
    assert "trl is not installed" in page
    assert "on a Mac only" in page
    assert "no test of it ran" not in page
    assert "no test of it ran" in check_text.as_text(known, 80, slow=True)


def test_a_run_of_some_bugs_says_nothing_of_the_others(known: verdict_file.VersionSet) -> None:
    some = verdict_file.Selection((), 0, "--bug")
    page = check_text.as_text(replace(known, bugs=known.bugs[:1], selection=some), 80)
    assert "on a Mac only" not in page


def test_red_comes_first_with_its_meaning_and_link(known: verdict_file.VersionSet) -> None:
    red = replace(known.bugs[0], verdict="fixed upstream?")
    lines = check_text.as_text(replace(known, bugs=(red, *known.bugs[1:])), 80).splitlines()
    assert lines[0].startswith("RED: 1 result here")
    at = lines.index(f"RED: fixed upstream?: {red.id}")
    assert f"    {red.link}" in lines[at:]
    assert at < next(i for i, line in enumerate(lines) if line.startswith("in these versions"))


def test_the_record_for_json_has_the_same_answer(known: verdict_file.VersionSet) -> None:
    document = check_text.record(known)
    assert document["green"] is True
    assert document["red"] == []
    assert "accelerate-empty-shard" in document["here"]  # type: ignore[operator]
