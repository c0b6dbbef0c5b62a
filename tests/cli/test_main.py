"""The table of commands: their help, what is imported for each, and shell completion."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay.cli import main, ops
from metalassay.cli.parser import Parser
from metalassay.errors import UserError

ROOT = Path(__file__).parents[2]
HELP = Path(__file__).parent / "help"


def pages(width: int) -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("help_pages", ROOT / "tools" / "help_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.pages(width))


def test_the_help_of_every_command_matches_its_snapshot() -> None:
    stored = {path.stem: path.read_text("utf-8") for path in HELP.glob("*.txt")}
    printed = {name.replace(" ", "-"): text for name, text in pages(80).items()}
    assert printed == stored, "read the changes, then run: python tools/help_pages.py"


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_no_line_of_help_is_wider_than_the_terminal(width: int) -> None:
    printed = pages(width)
    assert len(printed) >= 1 + len(main.COMMANDS)  # and those of `train` and `matrix`
    wide = [line for text in printed.values() for line in text.splitlines() if len(line) > width]
    assert wide == []


def test_every_command_is_in_the_help_once_in_its_group() -> None:
    text = pages(80)["metalassay"]
    for group, commands in main.GROUPS.items():
        part = text.partition(f"\n{group}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in part.splitlines()] == [
            command.name for command in commands
        ]


def test_every_command_has_a_description_examples_and_exit_codes() -> None:
    printed = pages(80)
    for name in main.COMMANDS:
        assert "examples:\n  " in printed[name], name
        below = [other for other in printed if other.startswith(f"{name} ")]
        for one in below or [name]:
            assert "exit code: " in printed[one], one


def test_every_option_says_what_it_does() -> None:
    for name, command in main.subcommands(main.parser(main.COMMANDS)):
        for action in command._actions:
            assert action.help, f"{name} {action.option_strings or action.dest}"


def test_a_default_is_shown_unless_it_is_nothing() -> None:
    printed = pages(120)
    assert "samples per batch (default: 64)" in printed["loader"]
    assert "time between two lines of the log (default: 5)" in printed["run"]
    assert "(default: None)" not in "".join(printed.values())
    assert "(default: False)" not in "".join(printed.values())
    assert "default: \n" not in "".join(printed.values())


def test_every_number_that_is_a_default_is_shown() -> None:
    for name, command in main.subcommands(main.parser(main.COMMANDS)):
        text = " ".join(command.format_help().split())
        for action in command._actions:
            value = action.default
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            assert action.help is not None
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            own = "(default: " in action.help  # such as "let it end" for 0
            expected = action.help if own else f"{action.help} (default: {shown})"
            assert expected in text, f"{name} {action.option_strings}"


def test_a_command_imports_no_other_command() -> None:
    code = (
        "import sys; from metalassay.cli.main import main; main(['ops', 'linalg_qr']);"
        "print(*sorted(name for name in sys.modules if name.startswith('metalassay.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == [
        "metalassay.cli.main",
        "metalassay.cli.ops",
        "metalassay.cli.option_types",
        "metalassay.cli.parser",
    ]


@pytest.mark.parametrize(
    ("arguments", "commands"), [(["--version"], []), (["doctor", "--help"], ["doctor"])]
)
def test_version_and_help_import_no_other_command(
    arguments: list[str], commands: list[str]
) -> None:
    code = (
        "import atexit, sys; from metalassay.cli import main;"
        "ours = lambda: {f'metalassay.cli.{each.module}' for each in main.COMMANDS.values()};"
        "atexit.register(lambda: print(*sorted(ours() & set(sys.modules))));"
        f"main.main({arguments})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = done.stdout.splitlines()[-1].split()
    assert imported == [f"metalassay.cli.{name}" for name in commands]


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
    # One array of options per command, under a name in which shtab replaces what bash refuses.
    for name, command in main.subcommands(main.parser(main.COMMANDS)):
        array = f"_shtab_metalassay_{re.sub('[^A-Za-z0-9]', '_', name)}_option_strings=("
        completed = text.partition(array)[2].partition(")")[0].split()
        for option in command._option_string_actions:
            assert option in completed, f"{name} {option}"


@pytest.mark.parametrize("shell", main.SHELLS)
def test_completion_is_written_for_every_shell(shell: str) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed")
    script = main.completion(shell)
    assert all(name in script for name in main.COMMANDS)


def test_completion_without_shtab_names_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main.main(["--print-completion", "bash"]) == 2
    assert "next: pip install 'metalassay[completion]'" in capsys.readouterr().err


def test_the_commands_parser_is_ours() -> None:
    assert all(isinstance(each, Parser) for _, each in main.subcommands(main.parser(())))


def _shell(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run our program in a shell; ``{}`` in the command stands for it."""
    ours = f'"{sys.executable}" -m metalassay'
    return subprocess.run(
        ["/bin/sh", "-c", command.replace("{}", ours)],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )


@pytest.mark.skipif(os.name != "posix", reason="closes descriptors as a POSIX shell does")
def test_a_closed_output_is_an_error_in_two_lines_and_closed_messages_are_none() -> None:
    done = _shell("{} ops linalg_qr >&-")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "metalassay: the output could not be written: it is closed",
        "  next: free some space, or write to another place",
    ]
    assert _shell("{} ops linalg_qr 2>&-").returncode == 0
    done = _shell("{} ops linalg_qr >&- 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", ["--help", "ops --help", "--version", "explain --list"])
def test_a_full_output_is_an_error_of_help_too(arguments: str) -> None:
    done = _shell(f"{{}} {arguments} > /dev/full")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 2
    assert "the output could not be written: No space left on device" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_messages_change_no_exit_code() -> None:
    done = _shell("{} claims --strict-and-unknown 2> /dev/full")
    assert done.returncode == 2
    assert _shell("{} claims 2> /dev/full > /dev/null").returncode == 0


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    done = _shell("{ {} explain --list; echo $? >&2; } | head -n 1")
    assert done.stderr == "0\n"
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("arguments", [["explain"], ["ops"], ["report"], ["compare", "a::b"]])
def test_control_characters_of_arguments_are_not_printed(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main.main([*arguments, "\x1b]0;title\x07\x1b[31m\rx\x9b1m\u202e\n"])
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        assert not set(text) & set("\x1b\x07\r\x9b\u202e")
    assert printed.err.count("\n") <= 2


def test_a_current_folder_that_was_deleted_is_one_error() -> None:
    done = _shell("cd $(mktemp -d) && rmdir $PWD && {} ops linalg_qr")
    assert done.returncode == 2
    assert "the current folder cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("error", [UserError("it has no torch", "install it"), OSError("x")])
def test_where_the_current_folder_goes_meanwhile_that_is_what_is_said(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")

    def fails(options: object) -> int:
        (tmp_path / "gone").rmdir()
        raise error

    monkeypatch.setattr(ops, "run", fails)
    with pytest.raises(UserError, match="the current folder cannot be used"):
        main._run(["ops", "linalg_qr"])


@pytest.mark.skipif(os.name != "posix", reason="limits need a system that can stop processes")
def test_a_program_under_limits_keeps_its_exit_code_where_stdout_is_closed() -> None:
    command = f'"{sys.executable}" -m metalassay run --max-cpu 90 -- sh -c "exit 7" >&-'
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_output_is_an_error_in_two_lines() -> None:
    command = f'"{sys.executable}" -m metalassay claims > /dev/full'
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) <= 3  # claims counts on stderr first
    assert "the output could not be written: No space left on device" in done.stderr


def test_a_terminal_that_cannot_show_every_character_is_no_error() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "metalassay", "claims"], env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_ctrl_c_while_python_imports_is_no_traceback() -> None:
    source = (
        "import builtins, sys\nreal = builtins.__import__\n"
        "def stopped(name, *rest, **more):\n"
        "    if name == 'argparse':\n        raise KeyboardInterrupt\n"
        "    return real(name, *rest, **more)\n"
        "builtins.__import__ = stopped\n"
        "from metalassay.__main__ import main\nsys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "metalassay: interrupted\n")
