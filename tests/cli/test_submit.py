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


def test_the_name_of_a_copy_is_not_that_of_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("alice-run.json", "bob.json", "run.json"):
        shutil.copy(RUN, name)
    assert main(["submit", "alice-run.json", "bob.json", "run.json"]) == 0
    written = sorted(path.name for path in tmp_path.glob("*.submit.json"))
    assert written == ["result-2.submit.json", "result.submit.json", "run.submit.json"]
    before = (tmp_path / "result.submit.json").stat().st_mtime_ns
    # What is there may be the copy of another file.
    assert main(["submit", "bob.json"]) == 0
    assert (tmp_path / "result-3.submit.json").exists()
    assert (tmp_path / "result.submit.json").stat().st_mtime_ns == before
    assert "bob.json -> result-3.submit.json" in capsys.readouterr().out
    assert "alice" not in (tmp_path / "result.submit.json").read_text("utf-8")
