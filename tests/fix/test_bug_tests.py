"""The suite's tests in another environment: how each end of pytest is read."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path

import pytest

from metalassay.fix import bug_tests


def python(folder: Path, script: str) -> str:
    """Return a program that stands in for the Python of an environment."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("script", "outcome", "why"),
    [
        ("echo '== 2 passed in 0.1s =='", bug_tests.PASSED, "2 passed in 0.1s"),
        (
            "echo 'FAILED compat/test_a.py::test_b'; echo 1 failed; exit 1",
            bug_tests.FAILED,
            "FAILED",
        ),
        ("echo nothing; exit 5", bug_tests.NOT_TESTED, "no test of these bugs runs"),
        ("echo 'No module named x' >&2; exit 1", bug_tests.NOT_TESTED, "No module named x"),
        ("exit 1", bug_tests.NOT_TESTED, "pytest could not run"),
        ("echo usage >&2; exit 4", bug_tests.NOT_TESTED, "usage"),
        ("kill -SEGV $$", bug_tests.NOT_TESTED, "pytest was ended by signal 11"),
        ("sleep 60", bug_tests.FAILED, "did not end"),
    ],
)
def test_an_end_is_read(
    script: str, outcome: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bug_tests, "_TIMEOUT", 1.0 if "sleep" in script else 60.0)
    found, said = bug_tests.run(python(tmp_path, script), ["some-bug"])
    assert found == outcome
    assert why in said


def test_a_python_that_does_not_start_is_not_tested(tmp_path: Path) -> None:
    found, why = bug_tests.run(str(tmp_path / "none"), ["some-bug"])
    assert (found, "No such file" in why) == (bug_tests.NOT_TESTED, True)


def test_the_suite_is_shown_with_pytest_and_without_the_users_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--broken")
    script = (
        f'echo "$@" > {tmp_path}/said; echo "$PYTEST_ADDOPTS" >> {tmp_path}/said\n'
        f'exec "{sys.executable}" -S -c "import pytest, metalassay.errors; print(pytest.__file__)"'
    )
    found, why = bug_tests.run(python(tmp_path, script), ["one", "two"])
    assert found == bug_tests.PASSED, why
    assert "shown/pytest/__init__.py" in why
    words, options = (tmp_path / "said").read_text().splitlines()
    assert "--bug=one --bug=two" in words
    assert options == ""


def test_without_a_suite_or_pytest_or_a_bug_nothing_is_tested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert bug_tests.suite() is not None
    assert bug_tests.run("none", [])[0] == bug_tests.NOT_TESTED
    with monkeypatch.context() as patch:
        patch.setattr(util, "find_spec", lambda _: None)
        assert bug_tests.run("none", ["a"])[1] == "pytest is not installed beside metalassay"
    monkeypatch.setattr(bug_tests, "suite", lambda: None)
    assert "this is none" in bug_tests.run("none", ["a"])[1]
