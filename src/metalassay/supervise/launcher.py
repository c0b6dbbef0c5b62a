"""Start a program once, under limits and under watch, and return how it ended; nothing survives it."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from metalassay.errors import UserError
from metalassay.fields import printable
from metalassay.supervise import processes
from metalassay.supervise.cpu_limiter import CpuLimiter
from metalassay.supervise.ending import Seen
from metalassay.supervise.monitor import Monitor
from metalassay.supervise.output import Output
from metalassay.supervise.output_log import OutputLog
from metalassay.supervise.supervisor import Rules, Supervisor

EXAMPLE = "metalassay run -- python train.py"
INSIST = 3.0  # seconds that a program has to end after the second Ctrl+C
# A key in the terminal sends these to every foreground process, so to the program as well.
_FROM_KEYS = ("SIGINT", "SIGQUIT")
_FORWARDED = (*_FROM_KEYS, "SIGTERM", "SIGHUP")
_FOR_PROGRAMS = ("SIGUSR1", "SIGUSR2")  # mean what the program says, such as "save now" under SLURM


@dataclass(frozen=True)
class Plan:
    """What to start and how: the command, the variables to add, limits and rules.

    ``max_cpu`` and ``max_memory`` are shares of the machine, 0 to 1. ``append`` continues the monitor's
    log of an earlier start.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    max_cpu: float = 1.0
    max_memory: float = 1.0
    monitor: Path | None = None
    every: float = 5.0
    append: bool = False
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True)
class End:
    """How a program ended: ``code`` is its exit code, or minus the signal that ended it.

    ``output`` is the last part of what it wrote. ``python`` is the first interpreter that reported
    itself. ``left`` are processes that it left behind and that were ended. ``paused`` is in seconds.
    ``checkpoint`` is the step and the folder of the last one that was saved because we asked.
    ``lost``: some of its output could not be written.
    """

    code: int
    seen: Seen
    output: str
    python: str | None
    left: tuple[str, ...]
    paused: float
    seconds: float
    checkpoint: tuple[int, str] | None
    lost: bool


class Stopper:
    """Knows which signal a person sent us, also while no program runs; the second one insists."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.times = 0


def check(program: list[str]) -> None:
    """Raise ``UserError`` for a command that cannot be started, before anything is begun."""
    if not program:
        raise UserError("no program to run", EXAMPLE)
    if not program[0].strip():
        raise UserError("the name of the program is empty", EXAMPLE)
    path = Path(program[0])
    name = shlex.quote(printable(program[0]).replace("\n", "\\n"))
    if shutil.which(program[0]) is not None:
        return
    if path.is_dir():
        raise UserError(f"cannot start {name}: it is a folder", f"name a program, as in: {EXAMPLE}")
    if os.sep in program[0] or path.exists():
        if not path.exists():
            raise UserError(f"cannot start {name}: there is no such file", EXAMPLE)
        if path.suffix == ".py":
            raise UserError(
                f"cannot start {name}: it is not executable",
                f"metalassay run -- python {name}",
            )
        raise UserError(f"cannot start {name}: it is not executable", f"chmod +x {name}")
    raise UserError(
        f"cannot start {name}: no program of that name is on the PATH",
        "check its spelling, or activate its environment"
        if program[0] != "python"
        else "try python3",
    )


def start(
    plan: Plan,
    folder: Path,
    stopper: Stopper,
    notify: Callable[[str], None],
    log: OutputLog | None = None,
    ignored: frozenset[int] = frozenset(),
) -> End:
    """Run the program of a plan to its end, in the run's ``folder``.

    Signals are forwarded to the program; if it is paused, it is continued, and the limits apply
    while it handles them. ``ignored`` are pids of our children that are not part of the program.
    Raises ``UserError`` if the program cannot be started; then nothing of it runs.
    """
    child: list[subprocess.Popen[bytes]] = []
    limiter = CpuLimiter(
        plan.max_cpu,
        plan.max_memory,
        notify=notify,
        finished=lambda: bool(child) and _ended(child[0].pid),
        include_self=False,
        signals=plan.max_cpu < 1 or plan.max_memory < 1,
    )
    limiter.ignore(*ignored)
    with contextlib.ExitStack() as stack:
        if plan.monitor:
            monitor = Monitor(
                plan.monitor,
                plan.every,
                paused=lambda: limiter.state().paused,
                include_self=False,
                append=plan.append,
                notify=notify,
            )
            stack.enter_context(monitor)
        output = stack.enter_context(
            Output(log.write if log else lambda stream, data: None, notify)
        )
        supervisor = Supervisor(
            folder,
            plan.rules,
            output,
            notify,
            ignored=lambda: limiter.ignored,
            before_end=limiter.end_pause,
            environ={**os.environ, **plan.environment},
        )
        early = stack.enter_context(_forward_signals(child, limiter, stopper, supervisor))
        stack.enter_context(limiter)
        stack.enter_context(output.following_the_size())
        began = time.monotonic()
        child.append(_popen(plan, output))
        output.started()
        for number in early:
            child[0].send_signal(number)
        supervisor.start(child[0])
        code = child[0].wait()
        seconds = time.monotonic() - began
        supervisor.stop()
        left = processes.sweep(folder, limiter.ignored, supervisor.descendants)
        output.drain()
    if supervisor.by_us is not None and not supervisor.made_it_end:
        notify("it ended by itself before that")
    return End(
        code=code,
        seen=Seen(
            steps=supervisor.steps,
            exception=supervisor.exception,
            by_us=supervisor.by_us if supervisor.made_it_end else None,
            user=stopper.number is not None,
            zero_steps=supervisor.zero_steps,
            oom_kills=supervisor.kills.new(),
            free=supervisor.free,
            free_age=time.monotonic() - supervisor.free_at,
        ),
        output=output.tail().decode("utf-8", "replace"),
        python=supervisor.python,
        left=tuple(left),
        paused=limiter.state().paused,
        seconds=seconds,
        checkpoint=supervisor.checkpoint,
        lost=output.lost,
    )


def _popen(plan: Plan, output: Output) -> subprocess.Popen[bytes]:
    out, err = output.descriptors
    try:
        # The child has the default signal handlers: ours do not survive exec.
        return subprocess.Popen(  # noqa: S603  (the user's own command)
            plan.command,
            stdout=out,
            stderr=err,
            env={**os.environ, **plan.environment},
            close_fds=False,  # what we inherited is for the program; what we opened is not inherited
        )
    except OSError as error:
        name = plan.command[0]
        if error.errno == errno.ENOEXEC:
            raise UserError(
                f'cannot start {name}: it is no program for this system, and has no "#!" line',
                f"metalassay run -- sh {name}",
            ) from error
        if error.errno == errno.ENOENT and shutil.which(name):
            raise UserError(
                f'cannot start {name}: the interpreter in its "#!" line does not exist',
                f"head -n 1 {name}",
            ) from error
        raise UserError(f"cannot start {name}: {error.strerror}", EXAMPLE) from error


@contextlib.contextmanager
def _forward_signals(
    child: list[subprocess.Popen[bytes]],
    limiter: CpuLimiter,
    stopper: Stopper,
    supervisor: Supervisor,
) -> Iterator[list[int]]:
    """Forward signals to ``child`` and continue it; yield those that arrived before it started.

    A second one insists: what has not ended ``INSIST`` seconds later is killed.
    """
    early: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if signal.Signals(number).name in _FOR_PROGRAMS:
            for process in child:
                process.send_signal(number)
            limiter.end_pause()
            return
        stopper.times += 1
        stopper.number = stopper.number or number
        if not (signal.Signals(number).name in _FROM_KEYS and _at_the_terminal()):
            for process in child:
                process.send_signal(number)
            if not child:
                early.append(number)
        limiter.end_pause()
        if stopper.times == 2:
            supervisor.insist(now + INSIST)
        elif stopper.times > 2:
            supervisor.insist(now)

    previous = {}
    for name in (*_FORWARDED, *_FOR_PROGRAMS):
        number = getattr(signal, name)
        if signal.getsignal(number) is not signal.SIG_IGN:  # under nohup; the child inherits that
            previous[number] = signal.signal(number, handle)
    try:
        yield early
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _ended(child: int) -> bool:
    """Return whether a child has ended, without consuming its exit code."""
    import psutil

    try:
        return psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _at_the_terminal() -> bool:
    """Return whether this process, and so the program too, is in the foreground of a terminal."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
