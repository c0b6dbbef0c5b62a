"""The folder of a run: one run writes to it, a failed start leaves nothing, and what is broken is said."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_training_gpt import run
from test_training_loop import CPU, digest, task
from test_training_loop import run as train
from test_training_packing import jsonl

from metalassay.errors import UserError
from metalassay.models.tiny_gpt import TinyGPT
from metalassay.training import checkpoint, gpt, text, tokenizer, transit
from metalassay.training.checkpoint import Checkpoint
from metalassay.training.configuration import config_hash
from metalassay.training.folder_lock import locked
from metalassay.training.loop import Progress, Recipe, Task
from metalassay.training.loop import train as train_task
from metalassay.training.run_folder import RunFolder, opened
from metalassay.training.run_log import RunLog

GPT = ["train", "gpt", "--device", "cpu", "--quiet"]

posix = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has neither flock nor these files"
)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kept(folder: Path) -> dict[str, Any]:
    """Write a tokenizer into ``folder`` and return the configuration of the run that it belongs to."""
    made = tokenizer.train(text.TRAINING, 300, text.Faults(text.TRAINING, False, print))
    for name, written in made.files().items():
        (folder / name).write_text(written, "utf-8")
    return {"workload": "gpt", "tokenizer": made.digest}


@posix
def test_a_start_that_loses_the_folder_touches_nothing_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tokenizer.json").write_text("the winner's", "utf-8")
    with locked(tmp_path):
        before = content(tmp_path)
        assert run(monkeypatch, *GPT, "-o", str(tmp_path)) == 2
        assert content(tmp_path) == before
    assert "another run is writing" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--data", "{empty}"], ["--test", "{missing}"]])
def test_a_start_that_fails_leaves_no_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: list[str],
) -> None:
    empty = jsonl(tmp_path / "empty.jsonl")
    named = [each.format(empty=empty, missing=tmp_path / "missing.jsonl") for each in wrong]
    assert run(monkeypatch, *GPT, *named, "-o", str(tmp_path / "runs" / "a")) == 2
    assert "  next: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty.jsonl"]


def test_a_new_run_makes_its_own_tokenizer(tmp_path: Path) -> None:
    kept(tmp_path)
    data, folder = jsonl(tmp_path / "a.jsonl", "ab", "abc"), RunFolder(tmp_path, None)
    new, made, _ = gpt.task("tiny", folder, data, data, 1, 0, False, print)
    assert made.get_vocab_size() < 300  # so little text has no more
    train_task(new, Recipe(1, 1e-3), tmp_path, CPU)
    found = checkpoint.newest(tmp_path)
    assert found
    assert tokenizer.read(tmp_path, found.config).tokenizer.to_str() == made.to_str()


def test_a_run_that_goes_on_keeps_its_tokenizer(tmp_path: Path) -> None:
    config = kept(tmp_path)
    data, folder = (
        jsonl(tmp_path / "a.jsonl", "ab"),
        RunFolder(tmp_path, Checkpoint(1, config, {}, {})),
    )
    old, made, _ = gpt.task("tiny", folder, data, data, 1, 0, False, print)
    assert made.get_vocab_size() == 300
    assert old.config["tokenizer"] == config["tokenizer"]


def test_a_tokenizer_that_is_missing_broken_or_another_is_named(tmp_path: Path) -> None:
    config = kept(tmp_path)
    path = tmp_path / "tokenizer.json"
    whole = path.read_text("utf-8")
    assert tokenizer.read(tmp_path, config).tokenizer.get_vocab_size() == 300
    for broken, said in (
        (b"", "is broken"),
        (b"\xff", "is broken"),
        (whole.encode()[:-9], "is broken"),
        (b"{}", "is not the tokenizer"),
        (whole.replace('"Ġ"', '"?"').encode(), "is not the tokenizer"),
    ):
        path.write_bytes(broken)
        with pytest.raises(UserError, match=said):
            tokenizer.read(tmp_path, config)
    path.unlink()
    with pytest.raises(UserError, match=r"cannot read .*tokenizer\.json: No such file"):
        tokenizer.read(tmp_path, config)


def test_the_digest_of_a_tokenizer_is_that_of_earlier_versions(tmp_path: Path) -> None:
    made = tokenizer.train(text.TRAINING, 300, text.Faults(text.TRAINING, False, print))
    assert made.digest == config_hash({"json": made.tokenizer.to_str()})


@pytest.mark.parametrize("command", ["generate", "evaluate"])
def test_a_model_without_its_tokenizer_or_with_weights_that_are_no_numbers_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    arguments = [command, str(tmp_path), *(["Why?"] if command == "generate" else [])]
    config = {**kept(tmp_path), "size": "tiny", "recipe": {"peak_rate": 0.5}}
    model = TinyGPT(gpt.SIZES["tiny"])
    tensors = {f"model.{name}": each for name, each in model.state_dict().items()}
    checkpoint.save(tmp_path, Checkpoint(1, config, tensors, {}))
    (tmp_path / "tokenizer.json").rename(tmp_path / "away")
    assert run(monkeypatch, *arguments) == 2
    assert "tokenizer.json: No such file" in capsys.readouterr().err
    (tmp_path / "away").rename(tmp_path / "tokenizer.json")
    next(iter(tensors.values())).fill_(float("nan"))
    checkpoint.save(tmp_path, Checkpoint(2, config, tensors, {}))
    assert run(monkeypatch, *arguments) == 2
    assert "the weights are not finite after step 2" in capsys.readouterr().err


@posix
@pytest.mark.parametrize("where", ["a", "a/sub", "/proc/x", "/sys"])
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
) -> None:
    if where.startswith("/") and not Path(where).parent.exists():
        pytest.skip("no such file system here")
    (tmp_path / "a").write_text("mine", "utf-8")
    monkeypatch.setattr(transit, "make", lambda *_: pytest.fail("made the curves first"))
    output = str(tmp_path / where)
    assert run(monkeypatch, "train", "transit", "--device", "cpu", "-o", output) == 2
    said = capsys.readouterr().err
    assert f"cannot write to {output}: " in said
    assert "  next: choose another --output" in said
    assert (tmp_path / "a").read_text("utf-8") == "mine"


def test_a_folder_without_the_right_to_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(UserError, match="Permission denied"), locked(tmp_path):
        pass


def test_an_output_without_a_name_is_not_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, *GPT, "-o", "")
    assert "--output: the name of a folder, not ''" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@posix
def test_a_lock_that_is_removed_as_it_is_opened_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    flock, calls = fcntl.flock, []

    def late(stream: Any, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:  # a run that wrote nothing ends now, and takes its lock with it
            (tmp_path / ".lock").unlink()
        flock(stream, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(tmp_path):
        with pytest.raises(UserError, match="another run"), locked(tmp_path):
            pass
        assert len(calls) == 3
    assert not list(tmp_path.iterdir())  # nothing was written, so nothing stays


@posix
def test_what_a_killed_process_had_half_written_is_removed(tmp_path: Path) -> None:
    train(tmp_path, steps=2)
    torn = tmp_path / ".step-00000003.4711.part"
    torn.mkdir()
    (torn / "state.safetensors").write_bytes(b"half")
    for name in (".tokenizer.json.ab12.part", ".log.jsonl.x_y.part", ".result.json.ab12.part"):
        (tmp_path / name).write_text("half", "utf-8")
    mine = tmp_path / ".mine.part"
    mine.write_text("not of a run", "utf-8")
    with opened(tmp_path, True, print):
        assert [path.name for path in sorted(tmp_path.glob(".*.part"))] == [".mine.part"]


def test_a_finished_run_that_is_resumed_knows_its_figures(tmp_path: Path) -> None:
    def judged() -> Task:
        made: Task = task()
        weights = list(made.model.parameters())
        return replace(made, evaluate=lambda: {"sum": sum(each.sum().item() for each in weights)})

    first = train_task(judged(), Recipe(4, 1e-2), tmp_path, CPU)
    again = train_task(judged(), Recipe(4, 1e-2), tmp_path, CPU, resume=True)
    assert first.figures == again.figures != {}


def test_a_figure_that_is_not_finite_stops_the_run_and_nothing_of_it_is_kept(
    tmp_path: Path,
) -> None:
    judged = replace(task(), evaluate=lambda: {"validation_loss": float("nan")})
    with pytest.raises(UserError, match="the validation loss is nan after step 20") as caught:
        train_task(judged, Recipe(20, 0.25), tmp_path, CPU)
    assert "another --output folder" in caught.value.next_step
    assert "below 0.25" in caught.value.next_step
    assert "NaN" not in "".join(each.decode() for each in content(tmp_path).values())
    assert not list(tmp_path.glob("step-*"))


def test_weights_that_are_not_finite_are_in_no_checkpoint(tmp_path: Path) -> None:
    broken = task()

    def overflow(at: Progress) -> None:
        next(iter(broken.model.parameters())).detach().fill_(float("inf"))

    with pytest.raises(UserError, match="the weights are not finite after step 20"):
        train_task(broken, Recipe(20, 1e-2), tmp_path, CPU, report_every=20, report=overflow)
    assert not list(tmp_path.glob("step-*"))


@pytest.mark.parametrize("rate", [1e36, 1e300, float("inf"), float("nan")])
def test_a_learning_rate_that_float32_cannot_compute_with_is_refused(
    tmp_path: Path, rate: float
) -> None:
    with pytest.raises(UserError, match="a learning rate of"):
        train_task(task(), Recipe(1, rate), tmp_path / "a", CPU)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"is nan|is inf|not finite"):
        train_task(task(), Recipe(5, 9e35, momenta=(0.85, 0.95)), tmp_path / "a", CPU)


@pytest.mark.slow
def test_a_learning_rate_far_too_high_is_an_error_and_no_nan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--learning-rate", "1e30", "--steps", "1", "-o", str(tmp_path)]
    assert run(monkeypatch, *GPT[:-1], "--json", *options) == 2
    shown = capsys.readouterr()
    assert "NaN" not in shown.out
    assert "with --learning-rate below 1e+30" in shown.err
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize("line", [b"{garbage}\n", b"\xff}\n", b'{"step": null}\n', b"{}\n"])
def test_a_line_of_the_log_that_is_none_is_left_out(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b'{"step": 2}\n{"step": 3}\n')
    RunLog(path, 2)
    assert path.read_bytes() == b'{"step": 1}\n{"step": 2}\n'


def test_a_log_that_is_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*log\.jsonl"):
        train(tmp_path)


def test_a_file_in_the_place_of_a_checkpoint_is_passed_over_and_replaced(tmp_path: Path) -> None:
    train(tmp_path / "whole")
    train(tmp_path, checkpoint_every=10)
    shutil.rmtree(tmp_path / "step-00000020")
    (tmp_path / "step-00000020").write_text("a file", "utf-8")
    said: list[str] = []
    assert train(tmp_path, resume=True, say=said.append).step == 20
    assert any("step-00000020, which is not whole" in each for each in said)
    assert digest(tmp_path) == digest(tmp_path / "whole")


def alter(folder: Path, **changes: Any) -> None:
    """Set keys of a checkpoint's state.json; None takes them away."""
    path = folder / "state.json"
    document = {**json.loads(path.read_text("utf-8")), **changes}
    left = {key: value for key, value in document.items() if value is not None}
    path.write_text(json.dumps(left), "utf-8")


@pytest.mark.parametrize(
    "changes",
    [
        {"position": None, "place": 40},
        {"position": 41},
        {"step": 19},
        {"position": None, "state_sha256": None},  # of a version without that digest
    ],
)
def test_a_state_that_is_not_what_was_written_is_passed_over(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    train(tmp_path, checkpoint_every=10)
    train(tmp_path / "whole")
    alter(tmp_path / "step-00000020", **changes)
    assert train(tmp_path, resume=True).step == 20
    assert digest(tmp_path) == digest(tmp_path / "whole")


def test_a_checkpoint_from_before_the_digest_of_the_state_is_read(tmp_path: Path) -> None:
    train(tmp_path)
    alter(tmp_path / "step-00000020", state_sha256=None)
    found = checkpoint.newest(tmp_path)
    assert found
    assert found.step == 20


def test_a_refused_resume_names_what_differs_and_nothing_else(tmp_path: Path) -> None:
    train(tmp_path, config={"data": {"bytes": 1, "sha256_of_first_mb": "a"}})

    def refused(steps: int, data: dict[str, Any]) -> str:
        with pytest.raises(UserError) as caught:
            train(tmp_path, steps, resume=True, config={"data": data})
        return caught.value.message.partition("another configuration: ")[2]

    same = {"bytes": 1, "sha256_of_first_mb": "a"}
    assert refused(10, same) == "recipe.steps was 20, is 10 (--steps)"
    other = {"bytes": 2, "sha256_of_first_mb": "b"}
    assert refused(20, other) == "data.bytes was 1, is 2 (--data)"
    train(tmp_path / "b", config={"workload": "a"})
    with pytest.raises(UserError, match=r"configuration: workload was 'a', is 'b' \("):
        train(tmp_path / "b", 30, resume=True, config={"workload": "b"})


@posix
@pytest.mark.slow
def test_sigterm_before_the_first_step_is_answered_as_ctrl_c_is(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "metalassay", "train", "transit", "--device", "cpu"]
    command += ["--curves", "60000", "--quiet", "-o", str(tmp_path / "run")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        while not (tmp_path / "run" / ".lock").exists():
            assert child.poll() is None
        time.sleep(0.3)  # it makes light curves for many seconds now
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate()
    assert child.returncode == 130
    assert "stopped at once" in said
    assert not list(tmp_path.iterdir())


def test_the_lock_is_left_where_a_run_is(tmp_path: Path) -> None:
    train(tmp_path / "a")
    assert (tmp_path / "a" / ".lock").exists() == (os.name == "posix")
