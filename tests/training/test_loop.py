"""Training: the same bits after a kill, a stop and a full disk as without."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_training
import torch
from safetensors.torch import load_file
from tiny_training import CPU, digest, run, task

from metalassay.errors import UserError
from metalassay.training import checkpoint
from metalassay.training.loop import Progress, Recipe, train

# A run of 200 steps that can be killed from outside: it says each step and waits a moment.
PROGRAM = """
import sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
from tiny_training import CPU, task
from metalassay.training.loop import Recipe, train
def report(at):
    print(at.step, flush=True)
    time.sleep({pause})
out = train(task(), Recipe(200, 1e-2, accumulate=2), Path({folder!r}), CPU,
    resume={resume}, checkpoint_every=20, report_every=1, report=report)
print(out.step, out.stopped_by)
"""


def start(folder: Path, resume: bool = False, pause: float = 0.0) -> subprocess.Popen[str]:
    code = PROGRAM.format(
        here=str(Path(tiny_training.__file__).parent),
        folder=str(folder),
        resume=resume,
        pause=pause,
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def until(child: subprocess.Popen[str], step: int) -> None:
    assert child.stdout
    for line in child.stdout:
        if line.startswith(f"{step}"):
            return
    raise AssertionError(f"ended before step {step}")


@pytest.mark.slow
def test_a_run_killed_after_100_steps_and_resumed_ends_with_the_bits_of_one_that_was_not(
    tmp_path: Path,
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait() == 0
    child = start(killed, pause=0.005)
    until(child, 110)
    child.kill()
    child.wait()
    at_kill = sorted(path.name for path in killed.glob("step-*"))
    assert at_kill[-1] == "step-00000100"
    assert start(killed, resume=True).wait() == 0
    assert digest(killed) == digest(whole)
    # The tensors too, and not by the digest we wrote.
    for name, tensor in load_file(max(whole.glob("step-*")) / "state.safetensors").items():
        other = load_file(max(killed.glob("step-*")) / "state.safetensors")[name]
        assert torch.equal(tensor, other), name


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_finishes_the_step_and_writes_the_checkpoint(
    tmp_path: Path, number: signal.Signals
) -> None:
    child = start(tmp_path, pause=0.01)
    until(child, 5)
    child.send_signal(number)
    assert child.stdout
    rest = child.stdout.read().split("\n")
    step, stopped = rest[-2].split()
    assert child.wait() == 0
    assert stopped == number.name
    assert [path.name for path in tmp_path.glob("step-*")] == [f"step-{int(step):08d}"]
    assert int(step) < 200


def test_a_stopped_run_goes_on_with_the_bits_of_one_that_was_not(tmp_path: Path) -> None:
    def stop(at: Progress) -> None:
        if at.step == 7:
            signal.raise_signal(signal.SIGINT)

    run(tmp_path / "whole")
    out = run(tmp_path / "stopped", report_every=1, report=stop)
    assert (out.step, out.stopped_by) == (7, "SIGINT")
    out = run(tmp_path / "stopped", resume=True)
    assert (out.step, out.stopped_by) == (20, None)
    assert digest(tmp_path / "stopped") == digest(tmp_path / "whole")


def test_a_second_signal_stops_at_once_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = checkpoint._write

    def interrupted(path: Path, data: bytes) -> None:
        write(path, data)
        if path.parent.name.startswith(".step-00000010"):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(checkpoint, "_write", interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, checkpoint_every=5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock",
        "log.jsonl",
        "step-00000005",
    ]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_torn_checkpoint_is_named_and_the_one_before_it_used(tmp_path: Path) -> None:
    run(tmp_path, checkpoint_every=10)
    torn = tmp_path / "step-00000020" / "state.safetensors"
    torn.write_bytes(torn.read_bytes()[:-1])
    said: list[str] = []
    found = checkpoint.newest(tmp_path, say=said.append)
    assert found
    assert found.step == 10
    assert len(said) == 1
    assert "step-00000020" in said[0]
    whole = tmp_path / "whole"
    run(whole)
    run(tmp_path, resume=True)
    assert digest(tmp_path) == digest(whole)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema": "x"}'])
def test_a_torn_state_is_passed_over(tmp_path: Path, damage: str) -> None:
    run(tmp_path, checkpoint_every=10)
    (tmp_path / "step-00000020" / "state.json").write_text(damage, "utf-8")
    found = checkpoint.newest(tmp_path, say=lambda text: None)
    assert found
    assert found.step == 10


def test_another_configuration_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(UserError, match="width was 8, is 9"):
        run(tmp_path, resume=True, config={"width": 9})


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_two_runs_never_write_to_one_folder(tmp_path: Path) -> None:
    def second(at: Progress) -> None:
        with pytest.raises(UserError, match="another run is writing"):
            run(tmp_path, resume=True)

    assert run(tmp_path, report=second).step == 20
    run(tmp_path, resume=True)  # it is free again


def test_a_folder_with_a_run_is_not_written_over(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(UserError, match="already holds a run"):
        run(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_full_disk_is_an_error_with_a_next_step_and_the_old_checkpoint_stands(
    tmp_path: Path,
) -> None:
    run(tmp_path, steps=20, checkpoint_every=10)
    before = {p: p.read_bytes() for p in tmp_path.glob("step-*/*")}
    found = checkpoint.newest(tmp_path)
    assert found
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        later = checkpoint.Checkpoint(30, found.config, found.tensors, found.state)
        with pytest.raises(UserError, match="no room for the checkpoint of step 30") as caught:
            checkpoint.save(tmp_path, later)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "--resume" in caught.value.next_step
    assert {p: p.read_bytes() for p in tmp_path.glob("step-*/*")} == before
    assert not list(tmp_path.glob(".step*"))


def test_the_log_of_a_resumed_run_has_each_step_once(tmp_path: Path) -> None:
    def stop(at: Progress) -> None:
        if at.step == 15:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        run(tmp_path, report_every=1, checkpoint_every=10, report=stop)
    run(tmp_path, report_every=1, resume=True)
    run(tmp_path / "whole", report_every=1)
    logs = [tmp_path / "log.jsonl", tmp_path / "whole" / "log.jsonl"]
    resumed, whole = (
        [(d["step"], d["loss"]) for d in map(json.loads, p.read_text("utf-8").splitlines())]
        for p in logs
    )
    assert resumed == whole
    assert [step for step, _ in whole] == list(range(1, 21))


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    broken = task()
    with torch.no_grad():
        next(iter(broken.model.parameters())).fill_(float("nan"))
    with pytest.raises(UserError, match="the loss is nan"):
        train(broken, Recipe(20, 1e-2), tmp_path, CPU)
    assert not list(tmp_path.glob("step-*"))


def test_time_held_back_is_never_reported_as_speed(tmp_path: Path) -> None:
    held = [0.0]
    seen: dict[int, float | None] = {}

    def report(at: Progress) -> None:
        seen[at.step] = at.speed
        held[0] += 1.0 if at.step == 10 else 0.0

    def pace() -> float:
        return held[0]

    run(tmp_path, report_every=5, report=report, pace=pace)
    assert all(seen[step] for step in (5, 10, 15, 20))  # held back between two measurements
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
