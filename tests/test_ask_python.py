"""An interpreter that answers nonsense, never, or without end is one sentence, and leaves nothing."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from metalassay import ask_python
from metalassay.ask_python import NoAnswerError


def shell(tmp_path: Path, program: str) -> list[str]:
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{program}\n")
    path.chmod(0o755)
    return [str(path)]


def test_what_it_prints_is_the_answer(tmp_path: Path) -> None:
    program = "import os, sys; print(os.environ.get('HERE'), sys.argv[1:])"
    variables = {**os.environ, "HERE": "größer"}
    answer = ask_python.ask([sys.executable, "-c", program, "a"], seconds=60, variables=variables)
    assert answer == "größer ['a']\n"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("exec yes x", "it printed more than 1 MiB"),
        ("exec yes x >&2", "it printed more than 1 MiB"),
        ("sleep 60", "it did not end within 1 s"),
        ("exit 7", "exit code 7"),
        ("echo one >&2; printf '\\033[31mtwo\\n' >&2; exit 1", "^two$"),
        ("kill -9 $$", "exit code -9"),
    ],
)
def test_what_is_no_answer_is_a_sentence(tmp_path: Path, program: str, message: str) -> None:
    with pytest.raises(NoAnswerError, match=message):
        ask_python.ask(shell(tmp_path, program), seconds=1, most=2**20)


@pytest.mark.parametrize("name", ["/nowhere/python", "/", "a\0b"])
def test_what_cannot_be_started_is_a_sentence(name: str) -> None:
    with pytest.raises(NoAnswerError, match="it does not start: "):
        ask_python.ask([name], seconds=1)


def test_programs_that_it_leaves_are_neither_waited_for_nor_left(tmp_path: Path) -> None:
    began = time.monotonic()
    program = f"sleep 987 & echo $! > {tmp_path / 'pid'}; echo answer"
    assert ask_python.ask(shell(tmp_path, program), seconds=60) == "answer\n"
    assert time.monotonic() - began < 50  # it would wait for the pipe until its time is up
    pid = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until
        time.sleep(0.02)
