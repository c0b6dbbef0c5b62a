"""`metalassay run`: bad input; the limits themselves are tested in tests/supervise."""

from __future__ import annotations

import pytest

from metalassay.cli import main


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--", "python", "x.py"], "no limit and no device to emulate"),
        (["run", "--emulate-mps=9", "--", "python", "x.py"], "torch 9 are not known"),
        (["run", "--emulate-mps", "--", "ls"], "'ls' is not a Python interpreter"),
        (["run", "--emulate-mps"], "no program to run"),
    ],
)
def test_bad_input_is_an_error_before_anything_starts(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert main.main(arguments) == 2
    assert expected in capsys.readouterr().err
