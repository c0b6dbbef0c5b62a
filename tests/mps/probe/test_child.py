"""The probe's child program, run in a real Python: what it computes, and the errors it reports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metalassay.mps.probe import parent


@pytest.mark.slow
def test_every_computation_runs_and_agrees_on_a_working_device() -> None:
    answer = parent.ask(sys.executable, 120, "cpu")
    ended = [line["stage"] for line in answer.lines if line["state"] == "end"]
    assert ended[-7:-1] == ["product", "conv2d", "matmul", "inverse", "softmax", "backward"]
    assert ended[-1] == "done"


@pytest.mark.slow
def test_modules_in_the_working_directory_do_not_hide_the_real_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("print('not torch')")
    (tmp_path / "json.py").write_text("raise SystemExit('not json')")
    monkeypatch.chdir(tmp_path)
    probe = parent.probe()
    assert probe.state == ("usable" if sys.platform == "darwin" else "not built"), probe.reason
    assert probe.torch


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ModuleNotFoundError('no', name='torch')", "torch is not installed"),
        ("raise ModuleNotFoundError('no', name='numpy')", "failed: ModuleNotFoundError: no"),
        ("raise OSError('a library\\nis missing')", "failed: OSError: a library is missing"),
        ("__version__ = '2.13.0'", "torch is incomplete: torch.backends.mps.is_built() failed"),
    ],
)
def test_the_error_of_a_torch_that_cannot_be_imported_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    (tmp_path / "torch.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    probe = parent.probe()
    assert probe.state == "no torch"
    assert reason in probe.reason
