"""`metalassay submit`: a copy is written, and nothing is sent."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from metalassay.cli.main import main

RUN = Path(__file__).parents[1] / "data" / "runs" / "constructed_benchmarks_m4.json"


def test_a_copy_is_written_beside_the_user_and_nothing_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(RUN, "run.json")
    assert main(["submit", "run.json"]) == 0
    assert (tmp_path / "run.submit.json").exists()
    assert "Nothing was sent." in capsys.readouterr().out
