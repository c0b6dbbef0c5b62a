"""`metalassay train` alone: three questions on a terminal, and a usage error elsewhere."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import pytest

from metalassay.cli import main, quick_start
from metalassay.errors import UserError


def answers(*lines: str) -> io.StringIO:
    return io.StringIO("".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize(
    ("given", "command"),
    [
        (("", "", ""), "metalassay train gpt --size tiny --output runs/gpt"),
        (("1", "2", "my run"), "metalassay train gpt --size small --output 'my run'"),
        (
            ("7", "x", "2", "3", ""),
            "metalassay train transit --size astronet --output runs/transit",
        ),
        (("2", "0", "1", "a"), "metalassay train transit --epochs 1 --output a"),
    ],
)
def test_the_answers_make_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert quick_start.command_line(quick_start.ask(answers(*given).readline)) == command


def test_every_choice_is_a_command_that_can_be_parsed() -> None:
    for program, sizes in quick_start.HOW_LARGE.items():
        for _, words in sizes:
            main.parser(["train"]).parse_args(["train", program, *words])


def test_a_folder_that_is_there_is_not_suggested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "gpt").mkdir(parents=True)
    (tmp_path / "runs" / "gpt-2").mkdir()
    assert quick_start.ask(answers("", "", "").readline)[-1] == str(Path("runs/gpt-3"))


def test_answers_that_end_early_are_one_error() -> None:
    with pytest.raises(UserError, match="not answered"):
        quick_start.ask(answers("1").readline)


def test_on_a_terminal_the_command_is_printed_and_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    launched: list[argparse.Namespace],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quick_start, "possible", lambda: True)
    monkeypatch.setattr(sys, "stdin", answers("1", "2", "here"))
    assert main.main(["train"]) == 0
    assert "metalassay train gpt --size small --output here\n" in capsys.readouterr().err
    (options,) = launched
    assert (options.launched, options.size, options.output) == ("train gpt", "small", Path("here"))
    # What a stopped run tells to type, with --resume added.
    assert options.argv == ["train", "gpt", "--size", "small", "--output", "here"]


def test_elsewhere_it_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch,
    launched: list[argparse.Namespace],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", answers("1", "2", "here"))
    with pytest.raises(SystemExit, match="2"):
        main.main(["train"])
    assert capsys.readouterr().err.splitlines() == [
        "metalassay: the following arguments are required: program",
        "  next: metalassay train --help",
    ]
    assert not launched
