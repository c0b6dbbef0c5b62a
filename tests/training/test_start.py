"""``python -m metalassay.training``: errors are one line with a next step, and never a traceback."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from train_command import run

from metalassay.files import write_atomically
from metalassay.streams import UnreadError
from metalassay.training import commands
from metalassay.training.__main__ import main


def test_a_folder_in_the_place_of_a_file_is_reported(
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
    message = capsys.readouterr().err
    assert f"cannot use {place}: Is a directory" in message
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [("evaluate", 0, ""), ("train gpt", 1, "the reader of the output is gone; stopped")],
)
def test_a_closed_pipe_is_not_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
    code: int,
    message: str,
) -> None:
    def gone(_: object) -> int:
        raise UnreadError

    monkeypatch.setitem(commands.COMMANDS, command, gone)
    out = os.dup(1)  # which the program gives up
    try:
        with os.fdopen(os.dup(1), "w") as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            assert main(json.dumps({"command": command})) == code
    finally:
        os.dup2(out, 1)
        os.close(out)
    assert message in capfd.readouterr().err


def test_a_missing_library_is_reported_with_the_extra_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.delitem(sys.modules, "safetensors.torch", raising=False)
    few = ["--curves", "1024", "--steps", "4", "--batch-size", "8", "--device", "cpu"]
    assert run(monkeypatch, "train", "transit", *few, "-o", str(tmp_path)) == 2
    assert "metalassay[train]" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())  # before anything is trained
