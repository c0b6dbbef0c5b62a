"""The process of an experiment says what it is, then each round, and ends in time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from metalassay.experiments import arms, child
from metalassay.mps import preflight

preflight_child = Path(str(preflight.__file__)).with_name("child.py")


def lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **change: Any
) -> list[dict[str, Any]]:
    """Run it with an experiment of two constant arms; return what it printed."""
    constant = {"a": lambda: lambda: {"ms": 1.0}, "b": lambda: lambda: {"ms": 2.0}}
    monkeypatch.setitem(arms.EXPERIMENTS, "constant", lambda _: constant)
    wanted = {"experiment": "constant", "device": "cpu", "first": 0, "rounds": 3, "seconds": 60}
    monkeypatch.setattr(sys, "argv", ["x", json.dumps({**wanted, "emulated": False, **change})])
    assert child.main() == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_it_says_what_it_is_and_each_round(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    about, *rounds = lines(monkeypatch, capsys)
    assert about["about"] == {
        "device": "cpu",
        "emulated": False,
        "threads": torch.get_num_threads(),
        "arms": ["a", "b"],
    }
    assert len(rounds) == 3
    assert rounds[0]["round"]["b"] == {"ms": 2.0}


@pytest.mark.parametrize(("change", "rounds"), [({"first": 2}, 1), ({"seconds": 0}, 0)])
def test_it_begins_with_the_first_round_that_is_missing_and_none_after_its_time(
    change: dict[str, Any],
    rounds: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert len(lines(monkeypatch, capsys, **change)) == 1 + rounds


def test_what_is_impossible_here_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (said,) = lines(monkeypatch, capsys, experiment="synchronize")
    assert said["impossible"]["next"] == "run it where MPS is usable"


@pytest.mark.skipif(sys.platform == "darwin", reason="where MPS may work")
def test_gpu_or_cpu_is_the_cpu_without_mps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lines(monkeypatch, capsys, device="gpu or cpu")[0]["about"]["device"] == "cpu"
    assert "impossible" in lines(monkeypatch, capsys, device="mps")[0]


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "metalassay.experiments.child", '{"experiment": "small-gpt", "device": "cpu", "first": 0,'
         ' "rounds": 1, "seconds": 9, "emulated": false}'),
        (str(preflight_child), "out/trace.json", "0", "--", "-c", "1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("when", ["before", "while torch is imported"])
def test_a_current_folder_that_was_deleted_is_one_line(
    words: tuple[str, ...], when: str, tmp_path: Path
) -> None:
    """torch itself asks for the current folder while it is imported."""
    fake = tmp_path / "fake" / "torch.py"
    fake.parent.mkdir()
    fake.write_text("import os\nos.rmdir('../gone')\nos.getcwd()\n")
    remove = "rmdir ../gone && " if when == "before" else ""
    command = f'mkdir gone && cd gone && {remove}exec "$0" -P "$@"'
    path = os.pathsep.join(filter(None, (str(fake.parent), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == "metalassay: the current folder was deleted\n"
