"""What may be compared, from text."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay.compare import arms
from metalassay.errors import UserError
from metalassay.workers import specs
from metalassay.workers.specs import Spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("transit-cnn", Spec("workload", "transit-cnn")),
        ("gpt-tiny:infer", Spec("workload", "gpt-tiny", "infer")),
        (
            "transit-cnn:train:batch=8,threads=2",
            Spec("workload", "transit-cnn", batch=8, threads=2),
        ),
        ("transit-cnn:malloc=tuned", Spec("workload", "transit-cnn", malloc="tuned")),
        ("a/bench.py::step", Spec("function", "a/bench.py", function="step")),
        ("bench.py::step:device=mps", Spec("function", "bench.py", function="step", device="mps")),
    ],
)
def test_a_spec_is_read_and_written_back(text: str, spec: Spec) -> None:
    assert specs.parse(text) == spec
    assert specs.parse(spec.text()) == spec


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a workload"),
        ("transit-cnn:learn", "unknown mode 'learn'"),
        ("transit-cnn:train:batch=0", "batch=0"),
        ("transit-cnn:train:batch=x", "batch=x"),
        ("transit-cnn:train:batch=1,batch=2", "says batch twice"),
        ("transit-cnn:train:threads=100000", r"threads=100000 \(at most threads=[0-9]+ here\)"),
        ("transit-cnn:train:colour=red", "unknown option 'colour'"),
        ("transit-cnn:train:dtype=int8", "dtype=int8"),
        ("transit-cnn:train:batch=1:x", "not a workload"),
        ("bench.py::step:batch=3", "unknown option 'batch'"),
    ],
)
def test_a_bad_spec_is_named(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        specs.parse(text)


def test_a_file_that_is_not_there_is_named() -> None:
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


def test_two_revisions_are_laid_out_side_by_side_and_gone_afterwards(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository / "inner")
    with arms.resolve("old", "new", "bench.py::step") as found:
        folders = [arm.folder for arm in found if arm.folder]
        assert [(folder / "bench.py").read_text() for folder in folders] == [
            "old = 1\n",
            "new = 1\n",
        ]
    assert not any(folder.exists() for folder in folders)
    assert (repository / "inner" / "bench.py").read_text() == "new = 1\n"


def test_a_revision_is_one_also_where_a_program_has_its_name(
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


def test_what_is_neither_environment_nor_revision_is_named(repository: Path) -> None:
    with (
        pytest.raises(UserError, match="nothing: neither an environment nor a git revision"),
        arms.resolve("nothing", "new", "inner/bench.py::step"),
    ):
        pass


def test_a_name_that_looks_like_an_option_is_no_option_of_git(repository: Path) -> None:
    with (
        pytest.raises(UserError, match="neither an environment nor a git revision"),
        arms.resolve("--output=x", "new", "inner/bench.py::step"),
    ):
        pass


def test_a_benchmark_that_a_revision_lacks_is_named(repository: Path) -> None:
    with (
        pytest.raises(UserError, match=r"other\.py is not in revision old"),
        arms.resolve("old", "new", "other.py::step"),
    ):
        pass


def test_our_workloads_have_no_revisions_in_the_users_repository(repository: Path) -> None:
    with (
        pytest.raises(UserError, match="does not come from your repository"),
        arms.resolve("old", "new", "transit-cnn"),
    ):
        pass


def test_an_environment_is_a_python() -> None:
    with arms.resolve(sys.executable, sys.executable, "transit-cnn") as (first, second):
        assert (first.python, second.python) == (sys.executable, sys.executable)
        assert first.folder is None
