"""The real commands: what a run leaves on the disk, whatever happens to it."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metalassay.errors import UserError
from metalassay.training import commands
from metalassay.training.loop import Recipe
from metalassay.training.run_folder import opened

TRAIN = [sys.executable, "-m", "metalassay", "train", "gpt", "--steps", "60", "--device", "cpu"]
TRAIN += ["--threads", "1", "--batch-size", "4", "--json", "--report-every", "1"]
TRAIN += ["--checkpoint-every", "10", "--evaluate-every", "1000"]

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of these signals")


def train(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [*TRAIN, "-o", str(folder), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_step(child: subprocess.Popen[str], step: int) -> None:
    assert child.stdout
    for line in child.stdout:
        if json.loads(line).get("step") == step:
            return
    raise AssertionError(f"ended before step {step}")


def digest(folder: Path) -> str:
    """Return the hash of the newest checkpoint: weights, optimizer, random numbers, data position."""
    newest = max(folder.glob("step-*"))
    found = [(newest / name).read_bytes() for name in ("state.json", "state.safetensors")]
    return newest.name + hashlib.sha256(b"".join(found)).hexdigest()


@pytest.mark.slow
@posix
def test_a_killed_or_stopped_and_resumed_gpt_ends_with_the_bits_of_an_uninterrupted_one(
    tmp_path: Path,
) -> None:
    whole = tmp_path / "whole"
    with train(whole) as child:
        child.communicate()
    for number, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 130)):
        folder = tmp_path / number.name
        with train(folder) as child:
            wait_for_step(child, 25)
            child.send_signal(number)
            _, stderr = child.communicate()
            assert child.returncode == code
        if number != signal.SIGKILL:
            assert f"{number.name}: stopped after step" in stderr
            assert "--resume" in stderr
            assert len(list(folder.glob("step-*"))) >= 1
        with train(folder, "--resume") as child:
            out, stderr = child.communicate()
            assert child.returncode == 0
        assert "resumed at step" in stderr
        assert json.loads(out.splitlines()[-1])["steps"] == 60
        assert digest(folder) == digest(whole), number.name


def tune(kind: str, start: Path, folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [*TRAIN[:4], kind, str(start), *TRAIN[5:], "--accumulate", "2", "-o", str(folder)]
    return subprocess.Popen(
        [*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@posix
@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_a_killed_and_resumed_fine_tuning_ends_with_the_bits_of_an_uninterrupted_one(
    tmp_path: Path, kind: str
) -> None:
    start, whole = tmp_path / "gpt", tmp_path / "whole"
    with train(start) as child:
        child.communicate()
    with tune(kind, start, whole) as child:
        child.communicate()
        assert child.returncode == 0
    for number in (signal.SIGKILL, signal.SIGTERM):
        folder = tmp_path / number.name
        with tune(kind, start, folder) as child:
            wait_for_step(child, 25)
            child.send_signal(number)
            child.communicate()
            assert child.returncode == (-9 if number == signal.SIGKILL else 130)
        with tune(kind, start, folder, "--resume") as child:
            out, stderr = child.communicate()
            assert child.returncode == 0
        assert "resumed at step" in stderr
        assert json.loads(out.splitlines()[-1])["steps"] == 60
        assert digest(folder) == digest(whole), number.name
    assert digest(start) != digest(whole)


@pytest.mark.slow
@posix
@pytest.mark.parametrize(
    ("limit", "stderr", "kept"),
    [
        (2_000_000, "", 2),  # enough room: the limit itself does no harm
        (100_000, "no room for the checkpoint of step 10", 0),
        (3_000, "no room to write", 0),  # not even for the tokenizer
    ],
)
def test_a_full_disk_is_one_clear_error(tmp_path: Path, limit: int, stderr: str, kept: int) -> None:
    import resource

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [*TRAIN, "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=no_room)
    assert done.returncode == (2 if stderr else 0)
    assert stderr in done.stderr
    assert "Traceback" not in done.stderr
    assert "  next: " in done.stderr or not stderr
    assert len(list(tmp_path.glob("step-*"))) == kept
    assert not list(tmp_path.glob(".step*"))


@pytest.mark.slow
@posix
def test_a_disk_that_fills_up_leaves_earlier_checkpoints_unchanged(tmp_path: Path) -> None:
    import resource

    with train(tmp_path) as child:
        child.communicate()
    before = {path: path.read_bytes() for path in tmp_path.glob("step-*/*")}
    assert before

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    (tmp_path / "step-00000060").rename(tmp_path / "away")
    command = [*TRAIN, "-o", str(tmp_path), "--resume"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=no_room)
    assert done.returncode == 2
    assert "no room for the checkpoint of step 60" in done.stderr
    (tmp_path / "away").rename(tmp_path / "step-00000060")
    assert {path: path.read_bytes() for path in tmp_path.glob("step-*/*")} == before


@pytest.mark.slow
def test_malformed_lines_of_a_users_file_are_reported_and_counted(tmp_path: Path) -> None:
    data = tmp_path / "mine.jsonl"
    line = json.dumps({"text": "<|im_start|>a question<|im_end|> <|im_start|>an answer<|im_end|>"})
    data.write_text("\n".join([line] * 30 + ["{", '{"text": 3}'] + [line] * 9) + "\n", "utf-8")
    with train(tmp_path / "run", "--data", str(data)) as child:
        out, stderr = child.communicate()
        assert child.returncode == 0
    assert json.loads(out.splitlines()[-1])["malformed_lines"] == 2
    assert f"skipped {data}, line 31: not JSON" in stderr
    assert f'skipped {data}, line 32: no "text"' in stderr
    with train(tmp_path / "strict", "--data", str(data), "--strict") as child:
        out, stderr = child.communicate()
        assert child.returncode == 2
    assert out == ""
    assert f"{data}, line 31: not JSON" in stderr


def test_the_monitor_log_may_be_in_the_folder_of_a_new_run(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "new"
    options: dict[str, object] = {
        "progress": "quiet",
        "max_cpu": None,
        "max_memory": None,
        "resume": False,
        "device": "cpu",
    }
    options |= {"monitor": str(folder / "load.jsonl"), "every": 5.0}
    task: Any = SimpleNamespace(unit="tokens")
    with opened(folder, False, print), commands._supervised(options, task, Recipe(1, 1.0)):
        assert (folder / "load.jsonl").exists()
    options["monitor"] = str(tmp_path / "other" / "load.jsonl")
    with pytest.raises(UserError, match="does not exist"):
        commands._supervised(options, task, Recipe(1, 1.0)).__enter__()
