"""The page of docs/ci.md has the runs that were recorded, at the commits of the data."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import foreign_repositories
import pytest

RECORDS = json.loads(foreign_repositories.RECORD.read_text("utf-8"))
REPOSITORIES = foreign_repositories.repositories()


def test_every_repository_was_run_as_the_data_says() -> None:
    wanted = [
        (one["repository"], one["commit"], one["tests"], versions)
        for one in REPOSITORIES
        for versions in one["versions"]
    ]
    keys = ("repository", "commit", "command", "requested")
    assert [tuple(each[key] for key in keys) for each in RECORDS] == wanted
    assert all(re.fullmatch("[0-9a-f]{40}", each["commit"]) for each in RECORDS)
    for each in RECORDS:
        assert each["tests"]["passed"] > 0
        assert (each["result"] == "success") == (each["tests"]["failed"] == 0)
        assert len(each["failed"]) == each["tests"]["failed"]


def test_the_table_is_that_of_the_records() -> None:
    text = foreign_repositories.PAGE.read_text("utf-8")
    command = "python tools/foreign_repositories.py --table"
    assert foreign_repositories.page(text, RECORDS) == text, f"run: {command}"


def test_a_repository_is_taken_at_its_commit_and_in_its_parts(tmp_path: Path) -> None:
    mirror = tmp_path / "mirrors" / "a+b" / "repo"
    mirror.mkdir(parents=True)

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        command = ["git", *who, *arguments]
        return subprocess.run(
            command, cwd=mirror, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "--quiet")
    for text in ("old", "new"):
        for name in ("kept", "left"):
            (mirror / name).write_text(text)
        git("add", ".")
        git("commit", "--quiet", "-m", text)
    one = {"repository": "a/b", "commit": git("rev-parse", "HEAD~1"), "paths": ["kept"]}
    foreign_repositories.check_out(one, tmp_path / "mirrors", tmp_path / "checkout")
    assert {path.name: path.read_text() for path in (tmp_path / "checkout").iterdir()} == {
        "kept": "old"
    }


def test_a_page_without_markers_is_one_line() -> None:
    with pytest.raises(SystemExit, match="markers of the table are missing"):
        foreign_repositories.page("", [])
