"""A program is run in a child process, and its trace comes back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metalassay.errors import UserError
from metalassay.mps.preflight import run


def test_a_python_without_torch_records_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UserError, match=r"nothing was recorded: .* ended with exit code 1"):
        run.trace([sys.executable, "-c", "pass"])
    assert "no torch here" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("os._exit(3)", "ended with exit code 3"),
        ("os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
    ],
)
def test_a_program_that_ends_at_once_leaves_no_recording(code: str, how: str) -> None:
    with pytest.raises(UserError, match=rf"nothing was recorded: .* {how} before") as caught:
        run.trace([sys.executable, "-c", f"import os, torch; torch.ones(2); {code}"])
    assert "os._exit leaves no recording" in caught.value.next_step


def test_a_program_that_cannot_be_run_is_an_error_before_anything_starts() -> None:
    with pytest.raises(UserError, match=r"there is no file absent\.py"):
        run.trace([sys.executable, "absent.py"])
