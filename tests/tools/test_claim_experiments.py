"""tools/claim_experiments.py measures, saves, and `metalassay claims` shows what it saved."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay.cli.main import main

TOOL = Path(__file__).parents[2] / "tools" / "claim_experiments.py"
pytestmark = pytest.mark.slow  # each starts torch, and one of them four workers


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the tool in a folder, on the CPU."""
    command = [sys.executable, str(TOOL), *arguments, "--device", "cpu"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_what_is_measured_is_saved_and_shown_with_its_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(tmp_path, "workers", "--rounds", "3")
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "evidence").iterdir()
    record = json.loads(path.read_text("utf-8"))
    (compared,) = record["comparisons"]
    assert (compared["base"], compared["arm"]) == ("num_workers=0", "num_workers=4")
    assert compared["word"] == "too few rounds to say"
    monkeypatch.chdir(tmp_path)
    assert main(["claims", "four-workers-faster"]) == 0
    assert f"ratio {compared['ratio']:.3f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["empty-cache"], "no cache of memory"), (["workers", "--rounds", "2"], "show no spread")],
)
def test_what_cannot_be_measured_is_said_in_a_line(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "evidence").exists()
