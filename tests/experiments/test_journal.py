"""The journal keeps rounds over an interruption, and none that were measured under other conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metalassay.errors import UserError
from metalassay.experiments.journal import Journal

ABOUT = {"device": "cpu", "threads": 2, "arms": ["a", "b"], "emulated": False}
ROUND = {"a": {"ms": 1.0}, "b": {"ms": 2.0}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a journal of two rounds in a folder that was not there."""
    journal = Journal(tmp_path / "new" / "x.rounds", "this machine")
    journal.begin(ABOUT)
    journal.add(ROUND)
    journal.add(ROUND)
    return tmp_path / "new" / "x.rounds"


def test_the_rounds_are_there_again(path: Path) -> None:
    again = Journal(path, "this machine")
    again.begin(ABOUT)
    again.add(ROUND)
    assert (again.about, len(Journal(path, "this machine").rounds)) == (ABOUT, 3)


def test_rounds_of_another_machine_or_version_are_left_out(path: Path) -> None:
    assert Journal(path, "another torch").rounds == []


@pytest.mark.parametrize("change", [{"threads": 4}, {"arms": ["a", "c"]}])
def test_rounds_of_another_process_are_dropped(path: Path, change: dict[str, Any]) -> None:
    again = Journal(path, "this machine")
    again.begin(ABOUT | change)
    assert again.rounds == []
    assert Journal(path, "this machine").rounds == []


@pytest.mark.parametrize("end", ['{"round": {"a"', "null\n", '{"rounds": 1}\n', "\xff"])
def test_a_torn_journal_begins_anew(path: Path, end: str) -> None:
    with path.open("a", encoding="latin-1") as stream:
        stream.write(end)
    assert Journal(path, "this machine").rounds == []


def test_a_finished_one_is_removed_and_may_be_missing(path: Path) -> None:
    journal = Journal(path, "this machine")
    journal.remove()
    journal.remove()
    assert not path.exists()


def test_a_folder_that_cannot_be_made_is_an_error_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    journal = Journal(tmp_path / "file" / "x.rounds", "this machine")
    with pytest.raises(UserError, match="name another folder"):
        journal.begin(ABOUT)
