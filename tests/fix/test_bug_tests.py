"""The suite's tests in another environment: how each end of them is read."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import util
from pathlib import Path

import pytest

from metalassay.diagnosis import check
from metalassay.errors import UserError
from metalassay.fix import bug_tests
from metalassay.results import verdict_file

ROOT = Path(__file__).parents[2]
BUG = "transformers-torch-extra-caps-torch"


def verdicts(word: str, outcome: str) -> verdict_file.VersionSet:
    """Return a verdict file with one bug and one test."""
    test = verdict_file.BugTest("compat/test_a.py::test_b", "x", "stock", False, outcome, 0.1, "")
    bug = verdict_file.BugResult(BUG, "t", "l", "w", word, "", (), (test,))
    evidence = ROOT / "docs" / "evidence" / "compat" / "accelerate-1.8.0.json"
    return replace(verdict_file.load(evidence), bugs=(bug,))


@pytest.mark.parametrize(
    ("word", "outcome", "found", "why"),
    [
        ("fine", "passed", bug_tests.PASSED, "1 test as expected"),
        ("unexplained", "failed", bug_tests.FAILED, f"{BUG}: unexplained"),
        ("not tested", "skipped", bug_tests.NOT_TESTED, "no test of these bugs runs"),
    ],
)
def test_verdicts_are_read(
    word: str, outcome: str, found: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = verdicts(word, outcome)
    monkeypatch.setattr(check, "run", lambda *_, **__: check.Checked(tmp_path, known, ""))
    answer = bug_tests.run("python", [BUG])
    assert (answer[0], why in answer[1]) == (found, True)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (UserError("nothing was tested: usage", ""), bug_tests.NOT_TESTED),
        (check.TooLongError("too long", ""), bug_tests.FAILED),
    ],
)
def test_an_end_without_verdicts_is_read(
    error: UserError, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(check, "run", fail)
    assert bug_tests.run("python", [BUG])[0] == found


@pytest.mark.slow
def test_they_really_run_in_another_python() -> None:
    found, why = bug_tests.run(sys.executable, [BUG])
    assert (found, why) == (bug_tests.PASSED, "1 test as expected")


def test_a_python_that_does_not_start_is_not_tested(tmp_path: Path) -> None:
    found, why = bug_tests.run(str(tmp_path / "none"), [BUG])
    assert (found, "No such file" in why) == (bug_tests.NOT_TESTED, True)


def test_without_pytest_or_a_bug_nothing_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bug_tests.run("none", [])[0] == bug_tests.NOT_TESTED
    monkeypatch.setattr(util, "find_spec", lambda _: None)
    assert bug_tests.run("none", [BUG])[1] == "pytest is not installed beside metalassay"
