"""From what the user names to the two arms of a comparison."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay.compare import arms
from metalassay.errors import UserError


def test_a_missing_file_is_named() -> None:
    with (
        pytest.raises(UserError, match=r"nowhere\.py: no such file"),
        arms.resolve("nowhere.py::a", "nowhere.py::b"),
    ):
        pass


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        command = ["git", *identity, *arguments]
        subprocess.run(command, check=True, capture_output=True)

    git("init", "-q")
    for text in ("old", "new"):
        Path("inner").mkdir(exist_ok=True)
        Path("inner", "bench.py").write_text(f"{text} = 1\n")
        git("add", ".")
        git("commit", "-qm", text)
        git("tag", text)
    return tmp_path


def test_two_revisions_are_checked_out_and_removed_afterwards(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository / "inner")
    with arms.resolve("old", "new", "bench.py::step") as resolved:
        folders = [arm.folder for arm in resolved if arm.folder]
        assert [(folder / "bench.py").read_text() for folder in folders] == [
            "old = 1\n",
            "new = 1\n",
        ]
    assert not any(folder.exists() for folder in folders)
    assert (repository / "inner" / "bench.py").read_text() == "new = 1\n"


def test_a_program_with_the_name_of_a_revision_is_ignored(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "HEAD"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(repository / "inner")
    with arms.resolve("HEAD", "old", "bench.py::step") as (first, _):
        assert first.folder is not None


def test_an_unknown_name_is_reported(repository: Path) -> None:
    with (
        pytest.raises(UserError, match="nothing: neither an environment nor a git revision"),
        arms.resolve("nothing", "new", "inner/bench.py::step"),
    ):
        pass


def test_a_name_that_looks_like_an_option_is_not_passed_to_git_as_one(repository: Path) -> None:
    with (
        pytest.raises(UserError, match="neither an environment nor a git revision"),
        arms.resolve("--output=x", "new", "inner/bench.py::step"),
    ):
        pass


def test_a_benchmark_missing_from_a_revision_is_named(repository: Path) -> None:
    with (
        pytest.raises(UserError, match=r"other\.py is not in revision old"),
        arms.resolve("old", "new", "other.py::step"),
    ):
        pass


def test_built_in_workloads_cannot_be_compared_between_revisions(repository: Path) -> None:
    with (
        pytest.raises(UserError, match="is not in your repository"),
        arms.resolve("old", "new", "transit-cnn"),
    ):
        pass


def test_a_python_interpreter_is_an_environment() -> None:
    with arms.resolve(sys.executable, sys.executable, "transit-cnn") as (first, second):
        assert (first.python, second.python) == (sys.executable, sys.executable)
        assert first.folder is None
