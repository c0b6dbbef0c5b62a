"""`metalassay bisect`: progress on stderr, the finding on stdout."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from metalassay.cli.main import main
from metalassay.diagnosis import bisect
from metalassay.diagnosis.bisect import Boundary, Finding


@pytest.fixture(autouse=True)
def contradictions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the contradictions that the next bisection finds."""
    contradictions: list[str] = []

    def run(*arguments: Any) -> Finding:
        progress: Callable[[str, str], None] = arguments[-1]
        progress("1.8.1", "broken")
        states = {"1.8.1": "broken", "1.9.0": "fine"}
        boundary = Boundary("1.8.1", "1.9.0", "broken", "fine")
        return Finding("bug", "accelerate", states, (boundary,), tuple(contradictions))

    monkeypatch.setattr(bisect, "bisect", run)
    return contradictions


def test_a_finding_that_agrees_with_the_data_exits_with_0(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bisect", "bug"]) == 0
    out, err = capsys.readouterr()
    assert "1.8.1" in out
    assert "1.9.0" in out
    assert err == "1.8.1: broken\n"


def test_one_that_contradicts_it_exits_with_1(contradictions: list[str]) -> None:
    contradictions.append("the data says 1.8.1 is fine")
    assert main(["bisect", "bug"]) == 1


def test_quiet_prints_the_answer_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bisect", "bug", "--quiet", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["boundaries"][0]["after"] == "1.9.0"


def test_a_bisection_in_which_nothing_could_be_tested_is_no_agreement(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    states = {"1.8.1": bisect.UNKNOWN, "1.9.0": bisect.UNKNOWN}
    finding = Finding("bug", "accelerate", states, (), ())
    monkeypatch.setattr(bisect, "bisect", lambda *_: finding)
    assert main(["bisect", "bug"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "metalassay: no release of accelerate could be tested here, so nothing is known",
        "  next: nox -s bisect -- bug (it installs what the tests need)",
    ]
