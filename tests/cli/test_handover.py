"""A command that imports torch gets a process of its own."""

from __future__ import annotations

import errno
import json
import os
import sys

import pytest

from metalassay.cli import main


def test_arguments_longer_than_the_system_accepts_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.E2BIG, "Argument list too long")

    monkeypatch.setattr(os, "execv", full)
    monkeypatch.setattr(os, "name", "posix")
    assert main.main(["generate", "run", "Why?" * 9]) == 2
    assert capsys.readouterr().err.startswith("metalassay: the arguments are too long")


class ReplacedError(Exception):
    """What happens instead of this process becoming another."""


def test_the_options_reach_the_program_that_replaces_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[list[str]] = []

    def execv(path: str, argv: list[str]) -> None:
        started.append(argv)
        raise ReplacedError

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(os, "name", "posix")
    with pytest.raises(ReplacedError):
        main.main(["generate", "folder", "Why?", "--tokens", "3"])
    (argv,) = started
    assert argv[:4] == [sys.executable, "-P", "-m", "metalassay.training"]
    options = json.loads(argv[4])
    assert (options["command"], options["prompt"], options["tokens"]) == ("generate", "Why?", 3)
