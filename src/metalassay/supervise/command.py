"""``metalassay run``: start any command the right way, and again if that makes sense, until it is done."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from metalassay.errors import UserError
from metalassay.supervise import ending, launcher, processes, protocol
from metalassay.supervise.ending import Ending, Policy
from metalassay.supervise.launcher import End, Plan, Stopper
from metalassay.supervise.output_log import OutputLog
from metalassay.supervise.processes import Minder
from metalassay.supervise.protocol import FOLDER_VARIABLE, Config
from metalassay.supervise.step_profiler import QUIET

ENDED_BY_US = 75
"""The exit code if `metalassay run` ended the program: EX_TEMPFAIL of sysexits.h, "try again later"."""
OUTPUT_LOST = 74
"""The exit code if the program succeeded and its output could not be written: EX_IOERR of sysexits.h."""
RESTARTS_VARIABLE = "METALASSAY_RESTARTS"
"""The environment variable that tells a program how often it was started again."""
PROFILES = Path("profile")
"""Where profiles are written unless the user names a folder."""

_PACKAGE = Path(__file__).parents[1]
_HOOK = _PACKAGE / "child" / "startup"
PATCHES = tuple(
    sorted(path.stem for path in (_PACKAGE / "patches").glob("*_*.py") if path.stem[0] != "_")
)
"""The names of all patches: the modules of `metalassay.patches`, whose import would take longer."""


@dataclass(frozen=True)
class Explained:
    """What explains a program's end: lines for a person, and the id of a known bug or limit, or None."""

    lines: tuple[str, ...] = ()
    known: str | None = None


@dataclass(frozen=True)
class Options:
    """What `metalassay run` was asked for, beside the plan of a start.

    ``patches`` are the names of those to bring in, empty for none. ``reports`` sets the start-up hook in
    Python processes; without it nothing is brought into the program. ``explain`` gets the last output
    and the interpreter that wrote it, None if unknown. ``profile`` is how many optimizer steps each process
    profiles, into files in ``profile_folder``; 0 for none.
    """

    plan: Plan
    policy: Policy = field(default_factory=Policy)
    reports: bool = True
    patches: tuple[str, ...] = ()
    guard: bool = True
    resume: bool = False
    log: Path | None = None
    awake: bool = False
    verbose: bool = False
    profile: int = 0
    profile_folder: Path = PROFILES
    explain: Callable[[str, str | None], Explained] = lambda text, python: Explained()


def run(options: Options) -> int:
    """Run the program, with restarts, and return its exit code as a shell would, or ``ENDED_BY_US``.

    Raises ``UserError`` if the program cannot be started; then nothing of it has run.
    """
    if os.name != "posix":
        raise UserError("metalassay run needs macOS or Linux", "use WSL on Windows")
    launcher.check(list(options.plan.command))
    stopper = Stopper()
    with contextlib.ExitStack() as stack:
        log: list[OutputLog] = []

        def notify(text: str) -> None:
            _print(text)
            for each in log:
                each.say(text)

        if options.log:
            log.append(OutputLog(options.log, _print))
            stack.callback(log[0].close)
        stack.enter_context(processes.adopting_orphans())
        folder = _folder()
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        minder = Minder(folder)
        stack.callback(minder.close)
        ignored = {minder.pid}
        if options.awake:
            awake = stack.enter_context(_awake())
            ignored.add(awake)
        stack.enter_context(_remember_signals(stopper))
        if options.plan.environment and (options.verbose or sys.platform == "darwin"):
            names = ", ".join(f"{name}={value}" for name, value in options.plan.environment.items())
            notify(f"set {names} (metalassay env says why; --no-env)")
        plan = replace(options.plan, environment=_environment(options, folder))
        return _attempts(options, plan, folder, stopper, notify, log, frozenset(ignored))


def _attempts(
    options: Options,
    plan: Plan,
    folder: Path,
    stopper: Stopper,
    notify: Callable[[str], None],
    log: list[OutputLog],
    ignored: frozenset[int],
) -> int:
    previous: Ending | None = None
    failures = 0
    for attempt in range(options.policy.restarts + 1):
        if log:
            log[0].say(f"start {attempt + 1}: {shlex.join(plan.command)}")
        _prepare(folder, options, attempt)
        environment = {**plan.environment, RESTARTS_VARIABLE: str(attempt)}
        started = replace(plan, environment=environment, append=plan.append or attempt > 0)
        end = launcher.start(started, folder, stopper, notify, log[0] if log else None, ignored)
        how = ending.classify(end.code, end.output, end.seen)
        explained = _say(how, end, options, notify, log)
        if how.cause == "finished" or stopper.number is not None:
            break
        failures = 1 if end.seen.steps else failures + 1
        again, why = ending.decide(
            how,
            previous,
            steps=end.seen.steps,
            left=options.policy.restarts - attempt,
            known=explained.known,
        )
        if options.policy.restarts:
            _say_what_next(again, why, attempt, failures, options.policy, notify)
        if not again:
            break
        previous = None if end.seen.steps else how
        if not _pause(options.policy.wait(failures), stopper):
            return 128 + (stopper.number or 0)
    if end.seen.by_us is not None:
        return ENDED_BY_US
    if end.code == 0 and end.lost:
        return OUTPUT_LOST
    return end.code if end.code >= 0 else 128 - end.code


def _prepare(folder: Path, options: Options, attempt: int) -> None:
    """Write what the processes of a start have to know, and remove what was left from the one before."""
    resume = options.resume and attempt > 0
    try:
        protocol.write_config(folder, _config(options, resume))
        for name in ("request.json", "socket"):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror}", "free some space there, or set TMPDIR"
        ) from error


def _config(options: Options, resume: bool) -> Config:
    return Config(
        options.patches,
        options.guard,
        resume=resume,
        profile=options.profile,
        profile_folder=str(options.profile_folder.absolute()) if options.profile else "",
    )


def _say(
    how: Ending,
    end: End,
    options: Options,
    notify: Callable[[str], None],
    log: list[OutputLog],
) -> Explained:
    """Say how the program ended, in the terminal and in the log, and what explains it."""
    if end.left:
        count = len(end.left)
        notify(
            f"ended {count} process{'es' if count > 1 else ''} that the program left behind:"
            f" {', '.join(end.left[:3])}{' …' if count > 3 else ''}"
        )
    if options.verbose and end.paused:
        notify(f"the program was paused for {end.paused:.1f} s in all")
    if options.verbose and options.reports and end.python is None:
        notify(
            "no Python process reported itself, so nothing was patched and no steps were counted"
            " (not a Python program, or one started with -I, -E or -S)"
        )
    if options.profile and not end.seen.steps:
        notify("no profile: no process reported an optimizer step")
    if how.cause == "finished":
        if log:
            log[0].say(f"{how.says} after {end.seconds:.1f} s")
        return Explained()
    if end.checkpoint:
        notify(f"a checkpoint was saved at step {end.checkpoint[0]:,}: {end.checkpoint[1]}")
    # The program has said so itself, or, with `| head`, nobody wants to hear it.
    quiet = how.cause in ("interrupted", "signal SIGPIPE") or how.cause.startswith("exit code")
    if end.seen.by_us is not None:
        pass  # said when it was done
    elif not quiet or options.policy.restarts:
        notify(how.says)
    elif log:
        log[0].say(how.says)
    if how.cause in ("interrupted", "ended by metalassay", "killed", "killed for memory"):
        return Explained()
    explained = options.explain(end.output, end.python)
    if explained.lines:
        notify("what is known about this end:")
    for line in explained.lines:
        print(line, file=sys.stderr, flush=True)
        if log:
            log[0].say(line)
    return explained


def _say_what_next(
    again: bool,
    why: str,
    attempt: int,
    failures: int,
    policy: Policy,
    notify: Callable[[str], None],
) -> None:
    if again:
        seconds = policy.wait(failures)
        notify(f"start {attempt + 2} of {policy.restarts + 1} in {seconds:g} s ({why})")
    else:
        notify(f"not started again: {why}")


def _pause(seconds: float, stopper: Stopper) -> bool:
    """Wait; return whether nobody stopped us meanwhile."""
    deadline = time.monotonic() + seconds
    while stopper.number is None and time.monotonic() < deadline:
        time.sleep(min(0.1, max(deadline - time.monotonic(), 0)))
    return stopper.number is None


def _folder() -> Path:
    """Make the private folder of a run; its socket's path has to fit into 100 bytes."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="metalassay-"))
    except OSError as error:  # tempfile has tried all usual places
        raise UserError(
            f"cannot make a temporary folder: {error.strerror}", "set TMPDIR to a folder with room"
        ) from error
    if len(os.fsencode(folder)) > 80:  # a deep TMPDIR
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="metalassay-", dir="/tmp"))
    return folder


def _environment(options: Options, folder: Path) -> dict[str, str]:
    environment = {**options.plan.environment, FOLDER_VARIABLE: str(folder)}
    if options.reports:
        theirs = options.plan.environment.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_HOOK), theirs)))
    if options.profile:
        # Set before the program starts: torch may read it as it is imported.
        environment |= {name: os.environ.get(name, value) for name, value in QUIET.items()}
    return environment


@contextlib.contextmanager
def _remember_signals(stopper: Stopper) -> Iterator[None]:
    """Note a signal that arrives while no program runs, as between two starts."""

    def handle(number: int, frame: FrameType | None) -> None:
        stopper.number = number

    previous = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            previous[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _awake() -> Iterator[int]:
    """Keep a Mac from sleeping while we run; yields the pid of caffeinate."""
    try:
        process = subprocess.Popen(  # noqa: S603  (Apple's tool, which ends with us)
            ["/usr/bin/caffeinate", "-i", "-w", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise UserError(
            f"cannot start caffeinate: {error.strerror}", "leave out --awake"
        ) from error
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _print(text: str) -> None:
    print(f"metalassay: {text}", file=sys.stderr, flush=True)
