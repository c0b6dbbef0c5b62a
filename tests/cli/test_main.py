"""The table of commands: their help, what is imported for each, and shell completion."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay.cli import main
from metalassay.cli.parser import Parser

ROOT = Path(__file__).parents[2]
HELP = Path(__file__).parent / "help"


def pages(width: int) -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("help_pages", ROOT / "tools" / "help_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.pages(width))


def test_the_help_of_every_command_is_what_was_last_read_and_kept() -> None:
    kept = {path.stem: path.read_text("utf-8") for path in HELP.glob("*.txt")}
    found = {name.replace(" ", "-"): text for name, text in pages(80).items()}
    assert found == kept, "read the changes, then run: python tools/help_pages.py"


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_no_line_of_help_is_wider_than_the_terminal(width: int) -> None:
    found = pages(width)
    assert len(found) == 1 + len(main.COMMANDS) + 2  # and the two programs of `train`
    wide = [line for text in found.values() for line in text.splitlines() if len(line) > width]
    assert wide == []


def test_every_command_is_in_the_help_once_in_its_group() -> None:
    text = pages(80)["metalassay"]
    for group, commands in main.GROUPS.items():
        part = text.partition(f"\n{group}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in part.splitlines()] == [each.name for each in commands]


def test_every_command_has_a_description_examples_and_exit_codes() -> None:
    found = pages(80)
    for name in main.COMMANDS:
        assert "examples:\n  " in found[name], name
        assert name == "train" or "\nexit code: " in found[name], name


def test_every_option_says_what_it_does() -> None:
    for name, command in main.subcommands(main.parser(main.COMMANDS)):
        for action in command._actions:
            assert action.help, f"{name} {action.option_strings or action.dest}"


def test_a_default_is_shown_unless_it_is_nothing() -> None:
    found = pages(120)
    assert "samples per batch (default: 64)" in found["loader"]
    assert "time between two lines of the log (default: 5)" in found["run"]
    assert "(default: None)" not in "".join(found.values())
    assert "(default: False)" not in "".join(found.values())
    assert "default: \n" not in "".join(found.values())


def test_a_command_imports_no_other_command() -> None:
    code = (
        "import sys; from metalassay.cli.main import main; main(['ops', 'linalg_qr']);"
        "print(*sorted(name for name in sys.modules if name.startswith('metalassay.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == [
        "metalassay.cli.main",
        "metalassay.cli.ops",
        "metalassay.cli.parser",
    ]


def test_without_a_command_the_help_is_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "diagnose:\n  doctor" in err


def test_completion_knows_every_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed")
    assert main.main(["--print-completion", "bash"]) == 0
    script = tmp_path / "metalassay.sh"
    script.write_text(capsys.readouterr().out, "utf-8")
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n", str(script)], check=True)
    text = script.read_text("utf-8")
    for name in main.COMMANDS:
        assert name in text
    assert "--max-cpu" in text
    assert "--emulate-mps" in text


def test_completion_without_shtab_names_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main.main(["--print-completion", "bash"]) == 2
    assert "next: pip install 'metalassay[completion]'" in capsys.readouterr().err


def test_the_commands_parser_is_ours() -> None:
    assert all(isinstance(each, Parser) for _, each in main.subcommands(main.parser(())))
