"""The training loop: the same bits after a kill or a stop as without, and honest speeds."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_training
import torch
from safetensors.torch import load_file
from tiny_training import CPU, digest, run, start, task, wait_for_step

from metalassay.errors import UserError
from metalassay.training.loop import Progress, Recipe, train


@pytest.mark.slow
def test_a_killed_and_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(
    tmp_path: Path,
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait() == 0
    child = start(killed, pause=0.005)
    wait_for_step(child, 110)
    child.kill()
    child.wait()
    at_kill = sorted(path.name for path in killed.glob("step-*"))
    assert at_kill[-1] == "step-00000100"
    assert start(killed, resume=True).wait() == 0
    assert digest(killed) == digest(whole)
    # Compare the tensors themselves, not only the digests.
    for name, tensor in load_file(max(whole.glob("step-*")) / "state.safetensors").items():
        other = load_file(max(killed.glob("step-*")) / "state.safetensors")[name]
        assert torch.equal(tensor, other), name


def test_a_stopped_and_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(
    tmp_path: Path,
) -> None:
    def stop(at: Progress) -> None:
        if at.step == 7:
            signal.raise_signal(signal.SIGINT)

    run(tmp_path / "whole")
    out = run(tmp_path / "stopped", report_every=1, report=stop)
    assert (out.step, out.stopped_by) == (7, "SIGINT")
    out = run(tmp_path / "stopped", resume=True)
    assert (out.step, out.stopped_by) == (20, None)
    assert digest(tmp_path / "stopped") == digest(tmp_path / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_two_runs_cannot_use_the_same_folder(tmp_path: Path) -> None:
    def second(at: Progress) -> None:
        with pytest.raises(UserError, match="is in use by a run in process"):
            run(tmp_path, resume=True)

    assert run(tmp_path, report=second).step == 20
    run(tmp_path, resume=True)  # it is free again


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(UserError, match="already holds a run"):
        run(tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    broken = task()
    with torch.no_grad():
        next(iter(broken.model.parameters())).fill_(float("nan"))
    with pytest.raises(UserError, match="the loss is nan"):
        train(broken, Recipe(20, 1e-2), tmp_path, CPU)
    assert not list(tmp_path.glob("step-*"))


def test_a_speed_is_not_reported_if_the_program_was_paused(tmp_path: Path) -> None:
    paused = [0.0]
    seen: dict[int, float | None] = {}

    def report(at: Progress) -> None:
        seen[at.step] = at.speed
        paused[0] += 1.0 if at.step == 10 else 0.0

    def pace() -> float:
        return paused[0]

    run(tmp_path, report_every=5, report=report, pace=pace)
    assert all(seen[step] for step in (5, 10, 15, 20))  # paused between two measurements
    once = iter([0.0] * 8 + [1.0] * 1000)
    seen.clear()
    run(tmp_path / "b", report_every=5, report=report, pace=lambda: next(once))
    assert [bool(seen[step]) for step in (5, 10, 15, 20)] == [True, False, True, True]


@pytest.mark.slow
def test_training_does_not_wait_for_torch_dynamo() -> None:
    code = (
        "import sys, tempfile; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(tiny_training.__file__).parent)!r})\n"
        "from tiny_training import run\n"
        "run(Path(tempfile.mkdtemp()))\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
