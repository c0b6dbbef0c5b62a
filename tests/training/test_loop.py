"""The training loop: the same bits after a kill or a stop as without, and honest speeds."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_training
import torch
from safetensors.torch import load_file
from tiny_training import CPU, digest, run, start, task, wait_for_step

from metalassay.errors import UserError
from metalassay.supervise.step_profiler import StepProfiler
from metalassay.training.loop import Progress, Recipe, train
from metalassay.workloads.registry import Batch


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


def _profiler(folder: Path, said: list[str], steps: int = 3) -> StepProfiler:
    return StepProfiler(torch, "cpu", steps, folder, said.append)


def test_a_profile_changes_no_loss_and_no_bit_of_the_checkpoint(tmp_path: Path) -> None:
    plain, profiled = tmp_path / "plain", tmp_path / "profiled"
    losses: dict[Path, list[float]] = {plain: [], profiled: []}
    said: list[str] = []
    for folder, profiler in ((plain, None), (profiled, _profiler(profiled, said))):
        run(
            folder,
            report_every=1,
            report=lambda at, folder=folder: losses[folder].append(at.loss),
            profiler=profiler,
        )
    assert losses[plain] == losses[profiled]
    assert len(losses[plain]) == 20
    assert digest(plain) == digest(profiled)
    assert said[0].startswith("where a step goes: 3 profiled steps")


def test_steps_of_a_profile_enter_no_speed(tmp_path: Path) -> None:
    class Slow(StepProfiler):
        def begin(self) -> None:
            time.sleep(0.2 if self.measuring else 0)
            super().begin()

    seen: list[Progress] = []
    profiler = Slow(torch, "cpu", 3, tmp_path, lambda line: None)
    run(tmp_path, report_every=5, report=seen.append, profiler=profiler)
    # Three steps of warm-up, six of the profile, eleven after it.
    assert [at.profiled for at in seen] == [2, 4, 0, 0]
    assert all(at.speed for at in seen)
    assert max(at.seconds for at in seen) < 0.2  # each profiled step slept so long
    tiny = min(at.speed or 0 for at in seen)
    assert tiny > 16 / 0.2  # samples of one step in the time of one sleep


def test_an_interval_of_nothing_but_profiled_steps_has_no_speed(tmp_path: Path) -> None:
    seen: dict[int, float | None] = {}
    run(
        tmp_path,
        report_every=1,
        report=lambda at: seen.update({at.step: at.speed}),
        profiler=_profiler(tmp_path, []),
    )
    assert [step for step, speed in seen.items() if speed is None] == [4, 5, 6, 7, 8, 9]


def test_a_stop_in_a_profile_loses_neither_the_checkpoint_nor_the_pairs_so_far(
    tmp_path: Path,
) -> None:
    def stop(at: Progress) -> None:
        if at.step == 6:
            signal.raise_signal(signal.SIGINT)

    run(tmp_path / "whole")
    stopped, said = tmp_path / "stopped", list[str]()
    out = run(stopped, report_every=1, report=stop, profiler=_profiler(stopped, said))
    assert (out.step, out.stopped_by) == (6, "SIGINT")
    assert said[0].startswith("where a step goes: 1 profiled step")
    again: list[str] = []
    out = run(stopped, resume=True, profiler=_profiler(stopped, again))
    assert (out.step, out.stopped_by) == (20, None)
    assert again[0].startswith("where a step goes: 3 profiled steps")
    assert digest(stopped) == digest(tmp_path / "whole")


def test_an_error_in_a_profiled_step_stops_the_profiler(tmp_path: Path) -> None:
    broken = task()
    loss, calls = broken.loss, iter(range(100))

    def fails(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        if next(calls) == 6:  # the first step after the warm-up; two batches per step
            raise RuntimeError("a fault of the step")
        return loss(model, batch)

    profiler = _profiler(tmp_path, [])
    with pytest.raises(RuntimeError, match="a fault of the step"):
        train(
            replace(broken, loss=fails),
            Recipe(20, 1e-2, accumulate=2),
            tmp_path,
            CPU,
            profiler=profiler,
        )
    assert not torch.autograd._profiler_enabled()  # type: ignore[attr-defined]
    assert profiler.done
