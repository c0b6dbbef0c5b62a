"""`--config FILE`: options from a file, which the command line replaces."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from metalassay.cli import main

GPT = ["train", "gpt"]


def test_the_command_line_wins_wherever_the_file_is_named(
    tmp_path: Path, launched: list[argparse.Namespace]
) -> None:
    file = tmp_path / "own.toml"
    file.write_text("layers = 3\nlearning_rate = 1e-3\nbatch-size = 16\nstrict = true\nseed = -5\n")
    for arguments in (
        ["--config", str(file), "--batch-size", "8"],
        ["--batch-size", "8", f"--config={file}"],
        ["--batch-size", "8", "--conf", str(file)],
    ):
        assert main.main([*GPT, *arguments]) == 0
        options = launched.pop()
        assert (options.layers, options.learning_rate, options.seed) == (3, 1e-3, -5)
        assert options.batch_size == 8  # although it is the default
        assert options.strict is True
        assert options.heads is None


def test_json_is_read_too_and_by_both_programs(
    tmp_path: Path, launched: list[argparse.Namespace]
) -> None:
    file = tmp_path / "own.json"
    file.write_text('{"steps": 7, "quiet": true, "json": false, "output": "runs/x"}')
    for program in ("gpt", "transit"):
        assert main.main(["train", program, "--config", str(file)]) == 0
        assert launched[-1].steps == 7
        assert launched[-1].progress == "quiet"
        assert launched[-1].output == Path("runs/x")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "layrs = 3", "there is no option 'layrs'; did you mean layers?"),
        ("a.toml", 'config = "b.toml"', "there is no option 'config'"),
        ("a.toml", "help = true", "there is no option 'help'"),
        ("a.toml", "o = 3", "there is no option 'o'"),
        ("a.toml", 'layers = "x"', "argument --layers: must be a whole number"),
        ("a.toml", "layers = 0", "argument --layers: must be a whole number"),
        ("a.toml", "layers = true", "layers must be a number or a text"),
        ("a.toml", "layers = [3]", "layers must be a number or a text"),
        ("a.toml", "[layers]\nx = 3", "layers must be a number or a text"),
        ("a.toml", "strict = 1", "strict must be true or false"),
        ("a.toml", 'size = "huge"', "argument --size: invalid choice: 'huge'"),
        ("a.toml", "size = ", "is not TOML"),
        ("a.json", "[]", "not a table of options"),
        ("a.json", "{", "is not JSON"),
        ("a.json", '{"quiet": true, "json": true}', "not allowed with argument"),
    ],
)
def test_what_is_wrong_with_the_file_is_one_line_that_names_it(
    tmp_path: Path,
    name: str,
    text: str,
    message: str,
    launched: list[argparse.Namespace],
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / name
    file.write_text(text)
    try:
        code = main.main([*GPT, "--config", str(file)])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    first, following = capsys.readouterr().err.splitlines()
    assert str(file) in first
    assert message in first
    assert following.startswith("  next: ")
    assert not launched


def test_a_missing_file_and_a_missing_name_are_one_line(
    launched: list[argparse.Namespace], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([*GPT, "--config", "missing.toml"]) == 2
    assert "cannot read missing.toml" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main.main([*GPT, "--config"])
    assert "expected one argument" in capsys.readouterr().err
    assert not launched
