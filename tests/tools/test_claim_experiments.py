"""tools/claim_experiments.py measures and saves, and `metalassay claims` shows what it saved."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import claim_experiments
import pytest
import torch

from metalassay.claims.evidence import Figures
from metalassay.cli.main import main
from metalassay.experiments import arms as claim_arms

TOOL = Path(__file__).parents[2] / "tools" / "claim_experiments.py"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the tool in a folder, on the CPU."""
    command = [sys.executable, str(TOOL), *arguments, "--device", "cpu"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_every_round_builds_all_arms_and_the_control_and_runs_them_in_an_abba_block() -> None:
    built: list[str] = []
    ran: list[str] = []

    def builder(name: str, figure: float) -> claim_arms.Builders:
        def build() -> claim_arms.Arm:
            built.append(name)

            def arm() -> claim_arms.Figures:
                ran.append(name)
                return {"ms": figure * (1 + len(ran) % 2)}

            return arm

        return {name: build}

    measured = claim_experiments.measure(builder("a", 1.0) | builder("b", 4.0), rounds=3)
    assert sorted(built) == ["a"] * 6 + ["b"] * 3  # the base and its control are the same code
    for start in range(0, len(ran), 6):
        assert ran[start : start + 6] == ran[start : start + 6][::-1]
    # The turns of an arm in a block are of both sizes, 1 and 2: their geometric mean is used.
    root = 2**0.5
    (figures,) = measured
    assert (figures.base, figures.arm, figures.what) == ("a", "b", "ms")
    assert figures.of_base == pytest.approx([root] * 3)
    assert figures.of_control == pytest.approx([root] * 3)
    assert figures.of_arm == pytest.approx([4 * root] * 3)


def test_the_arms_of_an_experiment_are_built_when_they_are_needed() -> None:
    device = torch.device("cpu")
    for name in ("layer-norm", "mixed-precision", "kernels", "workers", "threads", "environment"):
        builders = claim_arms.EXPERIMENTS[name](device)
        assert len(builders) >= 2
        assert all(map(callable, builders.values()))


@pytest.mark.slow  # it starts torch and its workers
def test_what_is_measured_is_saved_and_shown_with_its_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(tmp_path, "workers", "--rounds", "3")
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "evidence").iterdir()
    record = json.loads(path.read_text("utf-8"))
    (stored,) = record["comparisons"]
    comparison = Figures(**stored).judge()
    assert (comparison.base, comparison.arm) == ("num_workers=0", "num_workers=4")
    assert comparison.rounds == 3
    monkeypatch.chdir(tmp_path)
    assert main(["claims", "four-workers-faster"]) == 0
    assert comparison.sentence() in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["empty-cache"], "no memory cache"),
        (["workers", "--rounds", "2"], "too few for an interval"),
    ],
)
@pytest.mark.slow  # it starts torch
def test_what_cannot_be_measured_is_reported_in_one_line(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "evidence").exists()
