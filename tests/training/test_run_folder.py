"""The folder of a run: one process writes to it, and a failed start leaves nothing behind."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_training import run as train
from train_command import marked_jsonl, run

from metalassay.errors import UserError
from metalassay.results import load
from metalassay.training.run_folder import locked, opened
from metalassay.training.transit import task

GPT = ["train", "gpt", "--device", "cpu", "--quiet"]

posix = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has neither flock nor these files"
)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@posix
def test_a_run_that_finds_the_folder_locked_changes_nothing_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tokenizer.json").write_text("of the first run", "utf-8")
    with locked(tmp_path):
        before = content(tmp_path)
        assert run(monkeypatch, *GPT, "-o", str(tmp_path)) == 2
        assert content(tmp_path) == before
    assert "is in use by a run in process" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--data", "{empty}"], ["--test", "{missing}"]])
def test_a_failed_start_leaves_no_folder(
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
    monkeypatch.setattr(task, "make", lambda *_: pytest.fail("generated the curves first"))
    output = str(tmp_path / where)
    assert run(monkeypatch, "train", "transit", "--device", "cpu", "-o", output) == 2
    err = capsys.readouterr().err
    assert f"cannot write to {output}: " in err
    assert "  next: choose another --output" in err
    assert (tmp_path / "a").read_text("utf-8") == "mine"


def test_a_folder_without_write_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(UserError, match="Permission denied"), locked(tmp_path):
        pass


@posix
def test_a_lock_file_that_is_removed_while_it_is_opened_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    flock, calls = fcntl.flock, []

    def late(stream: Any, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:  # a run that wrote nothing ends now and removes its lock file
            (tmp_path / ".lock").unlink()
        flock(stream, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(tmp_path):
        assert len(calls) > 1
        with pytest.raises(UserError, match="is in use by a run"), locked(tmp_path):
            pass
    assert not list(tmp_path.iterdir())  # nothing was written, so nothing is left


def test_the_second_run_learns_which_process_has_the_folder(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(UserError) as caught, locked(tmp_path):
        pass
    assert caught.value.message == f"{tmp_path} is in use by a run in process {os.getpid()}"
    wait = f"wait until process {os.getpid()} ends, or choose another --output"
    assert caught.value.next_step == wait


@pytest.mark.parametrize("pid", [None, "", "12\n; rm", "\xff"])
def test_a_lock_without_a_valid_pid_is_still_refused_in_one_line(
    tmp_path: Path, pid: str | None
) -> None:
    with locked(tmp_path):
        (tmp_path / ".lock.pid").unlink()
        if pid is not None:
            (tmp_path / ".lock.pid").write_text(pid, "latin-1")
        with pytest.raises(UserError, match="in use by a run in another process"), locked(tmp_path):
            pass


def test_a_folder_can_be_locked_again_once_it_is_released(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("", "utf-8")
    for _ in range(2):
        with locked(tmp_path):
            assert (tmp_path / ".lock.pid").read_text() == str(os.getpid())
        assert {path.name for path in tmp_path.iterdir()} - {".lock"} == {"log.jsonl"}


@posix
def test_the_lock_of_a_killed_process_is_no_obstacle(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from metalassay.training.run_folder import locked\n"
        "with locked(Path(sys.argv[1])): print('locked', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match=f"in process {child.pid} "), locked(tmp_path):
            pass
        child.kill()
    assert (tmp_path / ".lock.pid").read_text() == str(child.pid)  # it could not clean up
    with locked(tmp_path):
        assert (tmp_path / ".lock.pid").read_text() == str(os.getpid())


@posix
def test_a_disk_without_room_for_the_lock_is_one_line_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, *text: object, **options: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_text", full)
    assert run(monkeypatch, *GPT, "-o", str(tmp_path / "runs" / "a")) == 2
    assert capsys.readouterr().err == (
        "metalassay: no room to write: No space left on device\n"
        "  next: free some space and run it again, with --resume if it left a checkpoint\n"
    )
    assert not list(tmp_path.iterdir())


@posix
def test_a_read_only_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: Path, *text: object, **options: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with (
        pytest.raises(UserError, match=r"cannot write to .*: Read-only file system"),
        locked(tmp_path),
    ):
        pass


def test_the_report_skips_the_files_of_the_lock(tmp_path: Path) -> None:
    with locked(tmp_path):
        loaded = load.load([tmp_path])
    assert not loaded.warnings


@posix
def test_unfinished_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    train(tmp_path, steps=2)
    torn = tmp_path / ".step-00000003.4711.part"
    torn.mkdir()
    (torn / "state.safetensors").write_bytes(b"half")
    for name in (
        "tokenizer.json",
        "log.jsonl",
        "result.json",
        "calibration.json",
        "predictions.csv",
    ):
        (tmp_path / f".{name}.x_y1.metalassay.part").write_text("half", "utf-8")
    mine = tmp_path / ".mine.part"
    mine.write_text("not from a run", "utf-8")
    with opened(tmp_path, True, print):
        assert [path.name for path in sorted(tmp_path.glob(".*.part"))] == [".mine.part"]


def test_an_empty_output_is_not_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, *GPT, "-o", "")
    assert "--output: must be the name of a file or folder, not ''" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_resume_needs_a_checkpoint_and_changes_nothing_without_one(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with pytest.raises(
        UserError, match=r"nothing to resume in .*new: it has no checkpoint"
    ) as caught:
        train(folder, resume=True)
    assert "without --resume" in caught.value.next_step
    assert not folder.exists()
    train(folder)
    for path in folder.glob("step-*/state.json"):
        path.write_text("{}", "utf-8")
    before = content(folder)
    with pytest.raises(UserError, match=r"no checkpoint in .*new can be resumed from") as caught:
        train(folder, resume=True)
    assert "another --output" in caught.value.next_step
    assert content(folder) == before
