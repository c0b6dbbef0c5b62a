"""The journal: what one process leaves for the next."""

from __future__ import annotations

from pathlib import Path

from metalassay.results import journal
from metalassay.results.verdict_file import BugTest, Origin, OtherFailure

ORIGIN = Origin("27da535", "a1b2", "CPython 3.11.7", ("lib==1.0",), "k")
ABOUT = {"symptom": "crash", "upstream": "stock", "affected": True}
RUN = BugTest("t::a", "crash", "stock", True, "xfailed", 0.5, "ValueError")


def test_what_ended_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    journal.start(path, 'nox -s "compat(x)"', ORIGIN)
    failure = OtherFailure("t::b", "failed", "assert 0")
    journal.begins(path, "t::a", "lib-crash", ABOUT)
    journal.ends(path, "t::a", "lib-crash", [RUN], [])
    journal.begins(path, "t::b", None, {})
    journal.ends(path, "t::b", None, [], [failure])
    found = journal.read(path)
    assert (found.command, found.origin) == ('nox -s "compat(x)"', ORIGIN)
    assert found.runs == [("lib-crash", RUN)]
    assert found.failures == [failure]
    assert found.over == {"t::a", "t::b"}
    assert found.running is None
    assert not found.complete


def test_the_test_that_was_running_when_the_process_died_has_crashed(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    journal.start(path, "", ORIGIN)
    journal.begins(path, "t::a", "lib-crash", ABOUT)
    assert journal.read(path).running is not None
    journal.died(path, "signal 6 (SIGABRT)")
    found = journal.read(path)
    assert found.over == {"t::a"}
    (run,) = found.runs
    assert run[1] == BugTest("t::a", "crash", "stock", True, "crashed", 0.0, "signal 6 (SIGABRT)")


def test_a_test_without_a_bug_that_died_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    journal.start(path, "", ORIGIN)
    journal.begins(path, "t::a", None, {"symptom": None, "upstream": "stock", "affected": False})
    journal.died(path, "signal 9 (SIGKILL)")
    assert journal.read(path).failures == [OtherFailure("t::a", "crashed", "signal 9 (SIGKILL)")]


def test_a_last_line_that_is_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    journal.start(path, "", ORIGIN)
    journal.begins(path, "t::a", "lib-crash", ABOUT)
    journal.ends(path, "t::a", "lib-crash", [RUN], [])
    path.write_text(path.read_text("utf-8") + '{"begins": "t::', "utf-8")
    assert journal.read(path).over == {"t::a"}


def test_a_new_start_forgets_what_an_earlier_run_left(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    journal.start(path, "", ORIGIN)
    journal.begins(path, "t::a", "lib-crash", ABOUT)
    journal.complete(path)
    assert journal.read(path).complete
    journal.start(path, "", ORIGIN)
    assert journal.read(path) == journal.Journal(command="", origin=ORIGIN)
