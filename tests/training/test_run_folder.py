"""The folder of a run: one run writes to it, a failed start leaves nothing, and what is broken is said."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tiny_training import digest
from tiny_training import run as train
from train_command import marked_jsonl, run

from metalassay.errors import UserError
from metalassay.files import write_atomically
from metalassay.training import checkpoint, commands
from metalassay.training.__main__ import main
from metalassay.training.folder_lock import locked
from metalassay.training.run_folder import opened
from metalassay.training.run_log import RunLog
from metalassay.training.transit import task

GPT = ["train", "gpt", "--device", "cpu", "--quiet"]

posix = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has neither flock nor these files"
)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
    empty = marked_jsonl(tmp_path / "empty.jsonl")
    named = [each.format(empty=empty, missing=tmp_path / "missing.jsonl") for each in wrong]
    assert run(monkeypatch, *GPT, *named, "-o", str(tmp_path / "runs" / "a")) == 2
    assert "  next: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty.jsonl"]


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
    monkeypatch.setattr(task, "make", lambda *_: pytest.fail("made the curves first"))
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


def test_a_folder_where_a_file_of_the_run_should_be_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "result.json"
    place.mkdir()
    monkeypatch.setitem(
        commands.COMMANDS,
        "evaluate",
        lambda _: write_atomically(place, "{}"),
    )
    assert main(json.dumps({"command": "evaluate"})) == 2
    said = capsys.readouterr().err
    assert f"cannot use {place}: Is a directory" in said
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [("evaluate", 0, ""), ("train gpt", 1, "nobody reads the output any more; stopped")],
)
def test_a_reader_that_went_away_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
    code: int,
    said: str,
) -> None:
    def gone(_: object) -> int:
        raise BrokenPipeError

    monkeypatch.setitem(commands.COMMANDS, command, gone)
    out = os.dup(1)  # which the program gives up
    try:
        with os.fdopen(os.dup(1), "w") as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            assert main(json.dumps({"command": command})) == code
    finally:
        os.dup2(out, 1)
        os.close(out)
    assert said in capfd.readouterr().err
