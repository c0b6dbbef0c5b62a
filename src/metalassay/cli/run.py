"""The command `metalassay run`: start a program the right way, and keep it alive."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from metalassay.cli import limit_options, option_types
from metalassay.errors import UserError

if TYPE_CHECKING:
    from metalassay.supervise.command import Explained, Options

_EMULATE = "metalassay run --emulate-mps -- python train.py"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.usage = "metalassay run [OPTIONS] -- COMMAND"
    parser.description = (
        "Run a training the right way: with the environment variables that this machine needs, with the"
        " patches that its library versions need (in memory only), with a guard against trainings of"
        " zero steps, and with an answer when it fails. Optionally with limits, a log, restarts, or an"
        " emulated mps device. Works for any command; children of the program are covered, and none"
        " survives it."
    )
    parser.epilog = """\
examples:
  metalassay run -- python train.py
  metalassay run -- accelerate launch --num_processes 2 train.py
  metalassay run --restart 5 --resume --stall 30 --log train.log -- python train.py
  metalassay run --max-cpu 70 --max-memory 60 -- python train.py
  metalassay run --monitor cpu.jsonl --every 5 -- make -j8
  metalassay run --profile -- python train.py
  metalassay run --list-patches -- python train.py
  metalassay run --emulate-mps -- python train.py --device mps
  metalassay run --emulate-mps=2.8 -- python -m package.train

Ctrl+C goes to the program; a second one kills what has not ended 3 seconds later, children included. A
restart is decided by the cause: memory, the network, a hang and unknown crashes are tried again, a wrong
command line, a known bug, a full disk, NaN and a training of zero steps are not. docs/run.md has more.

Limits work for any command. On a Mac whose kernel does not tell what ended processes have used, one that
lives shorter than a quarter of a second may not count (a step of a shell script). --emulate-mps needs a
Python program, Linux, a CPU build of torch, and a C++ compiler the first time; it shows neither numerical
results nor speed of MPS. Python processes that an emulated program starts have the device as well.

exit code: the program's, or 128 + N if signal N ended it; 75 if metalassay ended it (memory, a hang, a
time-out); 74 if it succeeded and its output could not be written; 2 if it could not be started"""
    parser.add_argument("program", nargs="*", metavar="COMMAND", help="the program, after --")
    inside = parser.add_argument_group("what is brought into the program")
    inside.add_argument("--no-env", action="store_true", help="set no environment variables")
    inside.add_argument("--no-patches", action="store_true", help="patch nothing")
    inside.add_argument(
        "--no-guard", action="store_true", help="let a training of zero steps end as a success"
    )
    inside.add_argument(
        "--no-hook",
        action="store_true",
        help="bring nothing into Python processes: no patches, no guard, no count of steps",
    )
    inside.add_argument(
        "--list-patches",
        action="store_true",
        help="list the patches and whether the program's Python needs them; run nothing",
    )
    inside.add_argument(
        "--check",
        action="store_true",
        help="first look whether its Python can train, as doctor does; do not start if it cannot",
    )
    inside.add_argument(
        "--profile",
        nargs="?",
        type=option_types.count,
        const=10,
        metavar="STEPS",
        help="profile this many optimizer steps (10) of each process, after four: a table by operator, and"
        " files in --profile-output",
    )
    inside.add_argument(
        "--profile-output",
        type=option_types.folder,
        metavar="DIR",
        help="folder of the traces and summaries, which are named by process (default: profile)",
    )
    alive = parser.add_argument_group("keeping it alive")
    alive.add_argument(
        "--restart",
        type=option_types.count_or_none,
        default=0,
        metavar="N",
        help="start it again up to N times, if the cause of its end may pass",
    )
    alive.add_argument(
        "--backoff",
        type=option_types.positive,
        metavar="SECONDS",
        help="wait this long before a restart, twice as long after each failure (default: 10)",
    )
    alive.add_argument(
        "--resume",
        action="store_true",
        help="after a restart, let Trainer.train continue from the last checkpoint in its output_dir",
    )
    alive.add_argument(
        "--stall",
        type=option_types.positive,
        metavar="MINUTES",
        help="end it after so long without output and CPU use, or without a step",
    )
    alive.add_argument(
        "--timeout",
        type=option_types.positive,
        metavar="MINUTES",
        help="end it if it has not begun by then: no step, or no output",
    )
    alive.add_argument(
        "--memory-limit",
        type=option_types.memory,
        metavar="SIZE",
        help="ask it to save, and end it, when it takes more, as in 12GB or 80%%; looked at every 5 s, and"
        " every second above half of it",
    )
    alive.add_argument(
        "--no-memory-watch",
        action="store_true",
        help="say nothing of memory that grows, and leave it to the system to kill it",
    )
    alive.add_argument(
        "--log",
        type=option_types.path,
        metavar="FILE",
        help="keep the output here too, with times; rotated at 20 MB, five old parts",
    )
    alive.add_argument(
        "--awake",
        action=argparse.BooleanOptionalAction,
        help="macOS: keep the Mac from sleeping (default with --restart)",
    )
    parser.add_argument(
        "--emulate-mps",
        nargs="?",
        const="",
        metavar="TORCH",
        help="emulate mps, with the operators of this torch (of the installed one if left out)",
    )
    limit_options.add(parser)
    parser.add_argument(
        "--background",
        action="store_true",
        help="run it with the least priority: niceness 19, and on a Mac the background quality of service,"
        " which has the efficiency cores alone",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="say more: how long it was paused, what was set",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.supervise import command, launcher

    _contradictions(options)
    if options.list_patches:
        return _list_patches(options.program)
    launcher.check(options.program)
    if options.check:
        from metalassay.diagnosis import before_run

        before_run.check(options.program, patched=not (options.no_patches or options.no_hook))
    program = list(options.program)
    if options.emulate_mps is not None:
        program = _emulated(options.emulate_mps, program)
    return command.run(_options(options, program))


def _contradictions(options: argparse.Namespace) -> None:
    """Raise ``UserError`` for options that need another one, or exclude each other."""
    if not options.restart:
        for name, given in (("--backoff", options.backoff), ("--resume", options.resume)):
            if given:
                raise UserError(
                    f"{name} says how to start it again, and --restart is missing",
                    "add --restart 3",
                )
    if options.memory_limit:
        import psutil

        whole = psutil.virtual_memory().total
        if options.memory_limit > whole:
            raise UserError(
                f"--memory-limit is more than this machine has ({whole / 2**30:.1f} GiB)",
                "choose less, or leave it out: the machine's own memory is watched anyway",
            )
    if options.no_memory_watch and options.memory_limit:
        raise UserError("--memory-limit needs the watch", "leave out --no-memory-watch")
    if options.log is not None and str(options.log) in (".", "-"):
        raise UserError("--log needs the name of a file", "--log run.log")
    if options.no_hook and options.resume:
        raise UserError("--resume needs what --no-hook leaves out", "leave one of them out")
    if options.profile_output is not None and not options.profile:
        raise UserError("--profile-output needs --profile", "add --profile 10")
    if options.no_hook and options.profile:
        raise UserError("--profile needs what --no-hook leaves out", "leave one of them out")
    if options.awake and sys.platform != "darwin":
        raise UserError("--awake needs macOS", "leave it out, or use systemd-inhibit")


def _options(options: argparse.Namespace, program: list[str]) -> Options:
    from metalassay.supervise import background, command
    from metalassay.supervise.ending import Policy
    from metalassay.supervise.launcher import Plan
    from metalassay.supervise.supervisor import Rules

    output = options.profile_output
    added = {} if options.no_env else _environment(options.program)
    plan = Plan(
        command=(*(background.prefix(sys.platform) if options.background else ()), *program),
        environment=added,
        max_cpu=(options.max_cpu or 100) / 100,
        max_memory=(options.max_memory or 100) / 100,
        monitor=options.monitor,
        every=options.every,
        rules=Rules(
            stall=options.stall and options.stall * 60,
            timeout=options.timeout and options.timeout * 60,
            memory=options.memory_limit,
            watch_memory=not options.no_memory_watch,
        ),
    )
    awake = options.awake
    if awake is None:
        awake = sys.platform == "darwin" and bool(options.restart)
    return command.Options(
        plan=plan,
        policy=Policy(options.restart, options.backoff or 10.0),
        reports=not options.no_hook,
        patches=() if options.no_patches or options.no_hook else command.PATCHES,
        guard=not options.no_guard,
        resume=options.resume,
        log=options.log,
        awake=awake,
        verbose=options.verbose,
        profile=options.profile or 0,
        profile_folder=command.PROFILES if output is None else output,
        explain=_explain,
    )


def _environment(program: list[str]) -> dict[str, str]:
    """Return the variables to add for a program, judged by the versions that its Python has."""
    from metalassay.environment import program_python, settings

    python = program_python.of(program)
    return settings.environment(None if python is None else program_python.installed(python))


def _list_patches(program: list[str]) -> int:
    """List the patches and whether the program's Python needs them; without a program, this Python."""
    from metalassay.diagnosis import before_run

    for patch in before_run.patches(program):
        state = {True: "needed", False: "not needed", None: "not known"}[patch.needed]
        print(f"{patch.patch}: {state}")
        print(f"    {patch.why}")
    print("A patch looks at the installed code too, and does nothing where that is healthy.")
    return 0


def _explain(text: str, python: str | None) -> Explained:
    """Explain the end of a program for a terminal, in at most a dozen lines."""
    from metalassay.diagnosis import explain, explain_text
    from metalassay.environment import interpreters
    from metalassay.supervise.command import Explained

    installed: dict[str, str] = {}
    if python is not None:
        with contextlib.suppress(UserError):  # it was removed meanwhile
            installed = interpreters.versions_of(python)
    answer = explain.explain(text, installed, given=python is not None)
    # A line somewhere in the output may be a warning that the program survived.
    if not answer.explained or answer.ended is None:
        return Explained()
    first = next(each for each in answer.explanations if each.explains)
    width = min(shutil.get_terminal_size().columns, 100)
    known = first.found.id if first.found.applies == "yes" else None
    return Explained(tuple(explain_text.as_text(answer, width, 1).splitlines()), known)


def _emulated(torch: str, program: list[str]) -> list[str]:
    """Return the command that runs ``program`` with an emulated mps device."""
    from metalassay import safe_path
    from metalassay.mps import program_arguments
    from metalassay.mps.operators import oracle

    if torch:
        oracle.load(torch)  # report a bad version before anything is started
    python, flags, rest = program_arguments.split(program, _EMULATE)
    child = "metalassay.mps.emulator.run_child"
    probe = [python, "-c", f"{safe_path.DROP}import metalassay.mps.emulator.run_child"]
    if subprocess.run(probe, capture_output=True).returncode != 0:  # noqa: S603
        raise UserError(
            f"{python} has no metalassay, which runs beside the program",
            f"{python} -m pip install 'metalassay[emulator]'",
        )
    return [python, *flags, "-m", child, torch, "--", *rest]
