"""Running the system's tools: their output, or nothing."""

from __future__ import annotations

import sys

import pytest

from metalassay.machine import system_tools


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_output_of_a_tool_is_returned_and_its_errors_are_not() -> None:
    command = python("import sys; print('out'); print('err', file=sys.stderr)")
    assert system_tools.output(command, seconds=60) == "out\n"


def test_a_missing_tool_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert system_tools.output(["sysctl"], seconds=60) == ""


@pytest.mark.parametrize(("must_succeed", "printed"), [(True, ""), (False, "partial\n")])
def test_the_output_of_a_failing_tool_counts_only_on_request(
    must_succeed: bool, printed: str
) -> None:
    command = python("print('partial'); raise SystemExit(1)")
    assert system_tools.output(command, seconds=60, must_succeed=must_succeed) == printed


def test_a_tool_that_exceeds_its_time_limit_prints_nothing() -> None:
    command = python("import time; print('started', flush=True); time.sleep(60)")
    assert system_tools.output(command, seconds=0.2) == ""


def test_output_that_is_not_utf_8_is_still_text() -> None:
    command = python("import sys; sys.stdout.buffer.write(b'M4 \\xff')")
    assert system_tools.output(command, seconds=60) == "M4 \ufffd"
