"""`metalassay selftest`: what the child found, for people and for programs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from metalassay.cli.main import main

PEAK = {"device": "cpu", "threads": 2, "gflop_s": 123.4, "gb_s": 20.5, "seconds": 1.5}


def answer(monkeypatch: pytest.MonkeyPatch, passed: bool, code: int = 0) -> None:
    checks = [{"name": "a sleep of 50 ms", "passed": passed, "saw": "50.1 ms"}]
    text = json.dumps({"checks": checks, "roof": PEAK})

    real = subprocess.Popen

    def start(command: list[str], **named: Any) -> Any:
        if "metalassay.measure.selftest" in command:
            program = f"import sys; print('a warning'); print({text!r}); sys.exit({code})"
            command = [sys.executable, "-c", program]
        return real(command, **named)

    monkeypatch.setattr(subprocess, "Popen", start)


def test_checks_and_measured_peak_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, passed=True)
    assert main(["selftest"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok   a sleep of 50 ms: 50.1 ms",
        "measured peak of cpu, 2 thread(s), float32: 123 GFLOP/s, 20.5 GB/s (1.5 s)",
    ]


def test_a_failed_check_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, passed=False)
    assert main(["selftest"]) == 1
    assert capsys.readouterr().out.startswith("FAIL ")


def test_a_child_that_fails_is_an_error_with_a_next_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, passed=True, code=1)
    assert main(["selftest", "--json"]) == 2
    assert "next: metalassay doctor" in capsys.readouterr().err
