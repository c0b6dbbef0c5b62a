"""Which run a column shows: the latest whole one, and what is known of later ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from constructed_runs import loaded
from hand_made import LINUX, M4

from metalassay.machine.hardware import Hardware
from metalassay.report.sections.compat_runs import Shown, choose
from metalassay.results.unfinished import Unfinished
from metalassay.results.verdict_file import Selection, VersionSet

(WHOLE,) = loaded("compat_fine").compat
PARTIAL = replace(WHOLE, selection=Selection(("-k", "x"), 3, "-k"), file="x.partial")
LATER = WHOLE.started + timedelta(days=1)
EARLIER = WHOLE.started - timedelta(days=1)
Change = Callable[..., Unfinished]


def mark(started: datetime = LATER, file: str = "a/x.unfinished", **changes: object) -> Unfinished:
    one = Unfinished(WHOLE.id, WHOLE.requires, "", started, "interrupted", None, file)
    return replace(one, **changes)  # type: ignore[arg-type]


def run(file: str = "a/x.json", started: datetime | None = None) -> VersionSet:
    return replace(WHOLE, file=file, started=started or WHOLE.started)


def test_a_newer_partial_run_is_beside_the_whole_one_in_any_order() -> None:
    beside = replace(PARTIAL, started=LATER)
    for sets in ([WHOLE, beside], [beside, WHOLE]):
        assert choose(sets) == ([Shown(WHOLE, None, beside)], 0)


def test_an_older_partial_run_is_counted_and_not_shown() -> None:
    assert choose([WHOLE, replace(PARTIAL, started=EARLIER)]) == ([Shown(WHOLE)], 1)


def test_the_only_run_has_the_column_even_if_it_is_partial() -> None:
    assert choose([PARTIAL]) == ([Shown(PARTIAL)], 0)


def test_a_partial_run_of_other_versions_has_a_column_of_its_own() -> None:
    other = replace(PARTIAL, started=LATER, versions={"torch": "2.15.0"})
    assert choose([WHOLE, other]) == ([Shown(WHOLE), Shown(other)], 0)


def test_a_later_mark_is_put_on_the_column_of_the_file_beside_it() -> None:
    elsewhere = replace(run("b/x.json"), hardware=M4)
    shown, _ = choose([run(), elsewhere], [mark()])
    assert shown == [Shown(run(), mark()), Shown(elsewhere)]


@pytest.mark.parametrize("started", [EARLIER, WHOLE.started])
def test_a_mark_that_is_not_later_than_the_file_beside_it_means_nothing(started: datetime) -> None:
    assert choose([run()], [mark(started)]) == ([Shown(run())], 0)


def test_a_mark_without_a_file_beside_it_gets_a_column() -> None:
    assert choose([], [mark()]) == ([Shown(None, mark())], 0)
    other = mark(id="another")
    assert choose([run()], [other])[0] == [Shown(run()), Shown(None, other)]


def test_the_newest_of_several_marks_counts_in_any_order() -> None:
    marks = [mark(LATER + timedelta(hours=hour)) for hour in range(5)]
    for seed in range(3):
        random.Random(seed).shuffle(marks)
        newest = mark(LATER + timedelta(hours=4))
        assert choose([run()], marks)[0] == [Shown(run(), newest)]
        assert choose([], marks)[0] == [Shown(None, newest)]


@pytest.mark.parametrize(
    ("machine", "outdated"),
    [
        (None, True),
        (WHOLE.hardware, True),
        (replace(WHOLE.hardware, release="7.0"), True),
        (Hardware("Linux", "6.1", "x86_64", *[None] * 10), True),  # all that nox knows
        (LINUX, False),
        (M4, False),
    ],
)
def test_a_run_elsewhere_outdates_a_mark_only_if_it_may_be_of_the_same_machine(
    machine: Hardware | None, outdated: bool
) -> None:
    """As when each job of a CI leaves a folder: the failure of the first is history."""
    newer, old = run("b/x.json", LATER + timedelta(days=1)), mark(hardware=machine)
    expected = [Shown(newer)] if outdated else [Shown(newer), Shown(None, old)]
    assert choose([newer], [old])[0] == expected


def test_a_failure_elsewhere_after_the_last_run_has_a_column() -> None:
    later = mark(LATER, "b/x.unfinished")
    assert choose([run()], [later])[0] == [Shown(run()), Shown(None, later)]


def test_a_mark_and_a_partial_run_are_both_kept() -> None:
    beside = replace(PARTIAL, started=LATER, file="a/x.partial")
    assert choose([run(), beside], [mark()])[0] == [Shown(run(), mark(), beside)]


def test_a_column_needs_something_to_show() -> None:
    with pytest.raises(ValueError, match="needs a run or a mark"):
        assert Shown(None).id
