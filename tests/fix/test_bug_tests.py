"""The compatibility suite, run in another environment for a few bugs."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path

import pytest

from metalassay.fix import bug_tests


def test_the_suite_is_that_of_the_checkout() -> None:
    folder = bug_tests.suite()
    assert folder is not None
    assert (folder / "test_trainer.py").is_file()


def test_without_bugs_or_a_suite_or_pytest_nothing_was_tested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert bug_tests.run("python", ())[0] == bug_tests.NOT_TESTED
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    outcome, why = bug_tests.run("python", ("accelerate-empty-shard",))
    assert (outcome, why) == (bug_tests.NOT_TESTED, "pytest is not installed beside metalassay")
    monkeypatch.setattr(bug_tests, "suite", lambda: None)
    assert "part of a checkout" in bug_tests.run("python", ("accelerate-empty-shard",))[1]


def suite(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the suite be one test."""
    (folder / "compat").mkdir()
    (folder / "compat" / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--bug', action='append')\n"
    )
    (folder / "compat" / "test_it.py").write_text(code)
    monkeypatch.setattr(bug_tests, "suite", lambda: folder / "compat")


@pytest.mark.parametrize(
    ("code", "outcome", "why"),
    [
        ("def test_it(): pass", bug_tests.PASSED, "1 passed"),
        ("def test_it(): assert False, 'still broken'", bug_tests.FAILED, "still broken"),
        ("import no_such_module", bug_tests.NOT_TESTED, "pytest could not run"),
        ("", bug_tests.NOT_TESTED, "no test of these bugs runs"),
    ],
)
def test_each_end_of_pytest_has_its_meaning(
    code: str, outcome: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite(tmp_path, monkeypatch, code)
    found, said = bug_tests.run(sys.executable, ("a-bug",))
    assert found == outcome, said
    assert why in said


def test_a_python_in_which_pytest_cannot_start_was_not_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite(tmp_path, monkeypatch, "def test_it(): pass")
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'ModuleNotFoundError: No module named py' >&2\nexit 1\n")
    python.chmod(0o755)
    outcome, why = bug_tests.run(str(python), ("a-bug",))
    assert outcome == bug_tests.NOT_TESTED
    assert "No module named py" in why


@pytest.mark.slow
def test_a_real_bug_is_tested_in_this_environment() -> None:
    outcome, why = bug_tests.run(sys.executable, ("accelerate-n-shard-typo",))
    assert outcome in (bug_tests.PASSED, bug_tests.NOT_TESTED), why
