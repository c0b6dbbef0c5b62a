"""The command line: the table of commands, and what is done with a command's result.

A command's module is imported only when that command is asked for; it has ``configure(parser)``, which
adds its description and options, and ``run(options)``, which returns the exit code.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from metalassay import __version__, interrupts, streams
from metalassay.cli.parser import Parser, columns
from metalassay.environment import extras
from metalassay.errors import UserError, reason

# Too many files, processes or threads, or no memory for one.
_LIMITS = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
SHELLS = ("bash", "zsh", "tcsh")


class Command(NamedTuple):
    """One command: its name, its module in this room, and a summary of one line."""

    name: str
    module: str
    summary: str


GROUPS = {
    "diagnose": (
        Command("doctor", "doctor", "find what is wrong with an environment"),
        Command("fix", "fix", "change an environment to versions that work, and never to worse"),
        Command("check", "check", "test all known bugs in an environment as it is"),
        Command("explain", "explain", "explain an error message, a traceback or a log"),
        Command("link", "link", "check installed packages against each other, unimported"),
        Command("ops", "ops", "show which operators run on MPS, by torch version"),
        Command("preflight", "preflight", "predict on the CPU what would fail on MPS"),
        Command("claims", "claims", "check what guides claim about PyTorch on a Mac"),
    ),
    "measure": (
        Command("bench", "bench", "measure this machine in three minutes, with a file to share"),
        Command("ask", "ask", "ask five questions about a model of yours"),
        Command("init-step", "init_step", "write the small file that says what your model is"),
        Command("compare", "compare", "measure whether B is slower than A"),
        Command("max-batch", "max_batch", "find the largest batch that fits into memory"),
        Command("loader", "dataloader", "find the best number of DataLoader workers"),
        Command("selftest", "selftest", "check the clocks, and measure the device's peak"),
        Command("report", "report", "make tables and plots from result files"),
        Command("submit", "submit", "make an anonymous copy of a result file"),
        Command("results", "results", "check result files that somebody contributes"),
    ),
    "train": (
        Command("env", "env", "print the environment variables that help a training here"),
        Command("run", "run", "start a program the right way, and keep it alive"),
        Command("monitor", "monitor", "watch a program that runs already"),
        Command("train", "train", "train the guides' transit CNN or mini GPT"),
        Command("generate", "generate", "let a trained mini GPT answer a prompt"),
        Command("evaluate", "evaluate", "measure the quality of a trained mini GPT"),
    ),
    "maintain": (
        Command("matrix", "matrix", "list, distribute and run the rows of matrix.toml"),
        Command("resolve", "resolve", "check which rows of matrix.toml can be installed"),
        Command("bisect", "bisect", "find the releases between which a bug appears or goes"),
    ),
}
"""Every command, in the groups and the order of ``metalassay --help``."""

COMMANDS = {command.name: command for group in GROUPS.values() for command in group}

EXAMPLES = """\
examples:
  metalassay doctor                     what is wrong here, and what fixes it
  metalassay check                      do your versions behave as known?
  metalassay explain < log.txt          what an error message or a log means
  metalassay ops linalg_qr              which torch has this operator on MPS
  metalassay bench                      what this machine does, in three minutes
  metalassay report                     tables from everything under reports/
  nox                                   quick matrix, benchmark and report
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 fine, 1 found something, 2 bad input."""
    return streams.run(lambda: _run(sys.argv[1:] if arguments is None else list(arguments)))


def _run(arguments: list[str]) -> int:
    try:
        options = parser(_named(arguments)).parse_args(arguments)
        _check_folder()
        with interrupts.end_as_ctrl_c():
            code: int = options.command(options)
    except streams.UnreadError:
        raise
    except UserError:
        _check_folder()  # where it has gone meanwhile, nothing else is worth saying
        raise
    except OSError as error:
        _check_folder()  # it can have gone meanwhile
        raise _of_the_system(error) from None
    except MemoryError:
        raise UserError(
            "there is not enough memory", "see the limits of this shell: ulimit -a"
        ) from None
    except KeyboardInterrupt:
        print("metalassay: interrupted; no file was left half-written", file=sys.stderr)
        return 130
    return code


def _of_the_system(error: OSError) -> Exception:
    """Return the error for the user where the file system refused a file; else the error itself.

    A command says what it wanted with a file and what to do; this is for what none of them expects.
    """
    from metalassay.files import NO_ROOM

    name = error.filename2 or error.filename  # of a rename, the second is the intended name
    if error.errno in NO_ROOM:
        where = f" to {name}" if name else ""
        return UserError(
            f"there is no room to write{where}: {reason(error)}",
            "free some space, or write to another place",
        )
    if error.errno in _LIMITS:
        return UserError(
            f"the system refused more: {reason(error)}", "see the limits of this shell: ulimit -a"
        )
    if isinstance(name, str | bytes):
        return UserError(
            f"cannot use {os.fsdecode(name)}: {reason(error)}", "name another file or folder"
        )
    return error


def _check_folder() -> None:
    """Raise ``UserError`` where the current folder was deleted: nothing can be started in it."""
    try:
        os.getcwd()  # noqa: PTH109  (only whether there is one)
    except OSError as error:
        raise UserError(
            f"the current folder cannot be used: {reason(error)}", "change to another one: cd"
        ) from None


def parser(wanted: Iterable[str]) -> argparse.ArgumentParser:
    """Return the parser, with the options of the ``wanted`` commands; of the others only the names."""
    top = Parser(
        prog="metalassay",
        usage="metalassay COMMAND [options]",
        description="What PyTorch, accelerate and transformers really do on Apple silicon.",
        epilog=_commands() + "\n" + EXAMPLES + "\nOptions of a command: metalassay COMMAND --help",
    )
    top.add_argument("--version", action="version", version=f"metalassay {__version__}")
    top.add_argument(
        "--print-completion",
        choices=SHELLS,
        metavar="SHELL",
        help=f"print completion for a shell: {', '.join(SHELLS)}",
    )
    top.set_defaults(command=_no_command)
    commands = top.add_subparsers(
        prog="metalassay", metavar="command", help=argparse.SUPPRESS, dest="_command"
    )
    wanted = set(wanted)
    for command in COMMANDS.values():
        sub = commands.add_parser(command.name, help=command.summary)
        if command.name in wanted:
            module: Any = importlib.import_module(f"metalassay.cli.{command.module}")
            sub.set_defaults(command=module.run)
            module.configure(sub)
    return top


def subcommands(
    top: argparse.ArgumentParser, prefix: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield the name and the parser of every command below ``top``, such as "train gpt"."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield prefix + name, command
                yield from subcommands(command, f"{prefix}{name} ")


def _named(arguments: Sequence[str]) -> list[str]:
    """Return the command that the arguments name, if it is one of ours."""
    return [word for word in arguments if not word.startswith("-")][:1]


def _commands() -> str:
    """Return the commands by group, for the help of the program."""
    lines = []
    for group, commands in GROUPS.items():
        lines.append(f"{group}:")
        for command in commands:
            text = f"  {command.name:<11} {command.summary}"
            lines += textwrap.wrap(text, columns(), subsequent_indent=" " * 14)
        lines.append("")
    return "\n".join(lines)


def _no_command(options: argparse.Namespace) -> int:
    if options.print_completion:
        print(completion(options.print_completion))
        return 0
    parser(()).print_help(sys.stderr)
    return 2


def completion(shell: str) -> str:
    """Return the script that completes our commands and options in ``shell``.

    Raises ``UserError`` where shtab, which writes it, is not installed.
    """
    try:
        import shtab
    except ImportError:
        raise extras.missing_extra("completion", "completion", "shtab") from None
    top = parser(COMMANDS)
    for _, command in [("", top), *subcommands(top)]:
        for action in command._actions:
            if isinstance(action, argparse._SubParsersAction):
                action.help = None  # shtab leaves out what help does not list
    script: str = shtab.complete(top, shell)
    return script
