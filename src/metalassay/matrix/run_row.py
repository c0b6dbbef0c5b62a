"""Runs one row of the matrix: resolve, build the environment, test every known bug, keep the verdicts.

Only a finished run replaces a verdict file. Whatever stops it in between (a network, a disk, a signal)
is an error of the row: the earlier file stays, and a marker beside it says that the last run did not
finish (``results.unfinished``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from metalassay import bugs, minder
from metalassay.errors import cannot_write, reason
from metalassay.matrix import ahead, environments, inputs, matrix_file, run_smoke
from metalassay.matrix.ahead import Ahead
from metalassay.matrix.matrix_file import COMPAT, SMOKE, Row
from metalassay.matrix.resolver import Failure
from metalassay.results import journal, smoke_file, unfinished, verdict_file

GREEN, RED, NOT_INSTALLABLE, ERROR, SKIPPED = STATES = (
    "green",
    "red",
    "not installable",
    "error",
    "skipped",
)
"""How a row ends; it is skipped on a machine that lacks what it needs."""

PAUSES = (2.0, 10.0)
"""Seconds to wait before the second and the third attempt to resolve or to install."""

_LONGEST = 3600.0  # seconds for one process of pytest; the slowest row takes four minutes
_A_VERDICT = 1024**2  # bytes; more than a verdict file and the journal before it take
_T = TypeVar("_T")


@dataclass(frozen=True)
class Options:
    """How rows are run.

    ``root`` is the checkout, ``output`` the folder of the verdict files, ``environments`` that of the
    environments. ``fresh`` runs a row although nothing has changed, ``strict`` makes a row red that
    should install and does not. ``arguments`` go to pytest and make the run partial. With ``quiet``,
    pytest writes to a log beside the verdict file instead of the terminal. ``stop`` ends the run, and
    ``say`` is told what takes time. ``commit`` is what verdict files name; "" asks git in ``root``. ``ahead``
    may have resolved the row already.
    """

    root: Path
    output: Path
    environments: Path
    fresh: bool = False
    strict: bool = False
    arguments: tuple[str, ...] = ()
    quiet: bool = False
    stop: threading.Event = field(default_factory=threading.Event, compare=False)
    commit: str | None = ""
    say: Callable[[str], object] = field(default=lambda text: sys.stderr.write(f"{text}\n"))
    ahead: Ahead | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Outcome:
    """How a row ended, in ``seconds`` of wall time; ``unchanged`` is when it ran if it was not rerun.

    ``state`` is one of the constants of this module, and ``why`` its reason where it has one.
    """

    row: str
    state: str
    why: str = ""
    seconds: float = 0.0
    unchanged: datetime | None = None

    @property
    def bad(self) -> bool:
        """Whether the matrix fails because of this row."""
        return self.state in (RED, ERROR)


class StoppedError(Exception):
    """The run was stopped from outside while a row was running."""


class _TooLongError(Exception):
    """A process of pytest did not end within ``_LONGEST``."""


def run(row: Row, options: Options) -> Outcome:
    """Run one row and write its verdict file.

    Raises ``UserError`` where nothing can be run at all: no uv, no such interpreter, a folder that cannot
    be written. ``KeyboardInterrupt`` and ``StoppedError`` pass through; no child survives either.
    """
    if why := matrix_file.why_not_here(row):
        return Outcome(row.id, SKIPPED, why)
    began, started = time.monotonic(), datetime.now(UTC)
    target = options.output / f"{row.id}.json"
    try:
        outcome = _run(row, options, target, started)
    except (KeyboardInterrupt, StoppedError):
        _mark(row, options, target, started, "interrupted")
        raise
    except _TooLongError:
        why = f"the tests did not end within {_LONGEST / 60:.0f} minutes"
        outcome = Outcome(row.id, ERROR, why)
    except OSError as error:
        outcome = Outcome(row.id, ERROR, f"{error.filename or target}: {reason(error)}")
    if outcome.state == ERROR:
        try:
            _mark(row, options, target, started, outcome.why)
        except OSError as error:
            full = error.errno == errno.ENOSPC
            step = "free some space, or --output DIR" if full else "another folder: --output DIR"
            raise cannot_write(options.output, error, step) from None
    return replace(outcome, seconds=time.monotonic() - began)


def command(row: Row) -> str:
    """Return the command that runs a row in a checkout."""
    return f"metalassay matrix run {row.id}" if row.runs == SMOKE else f'nox -s "compat({row.id})"'


def selection(row: Row) -> list[str]:
    """Return the arguments of pytest that belong to the row itself."""
    marks = matrix_file.marks(row.tags)
    return [*(["-m", marks] if marks else []), *(f"--bug={bug}" for bug in row.bugs)]


def key_now(row: Row, root: Path) -> tuple[str | None, str]:
    """Return the key that a row has today, and why it has none if its versions do not resolve."""
    python = environments.interpreter(row)
    lock = ahead.of_row(row, root, python)
    if isinstance(lock, Failure):
        return None, lock.why
    return inputs.key(root, row, lock, python), ""


def _run(row: Row, options: Options, target: Path, started: datetime) -> Outcome:
    python = environments.interpreter(row, options.say)
    lock = _patient(row, lambda: _lock(row, options, python), options)
    if isinstance(lock, Failure):
        if not lock.conflict:
            return Outcome(row.id, ERROR, f"could not resolve: {lock.why}")
        origin = verdict_file.Origin(_commit(options), bugs.revision(), python.name)
        return _not_installable(row, options, target, lock.why, origin)
    key = inputs.key(options.root, row, lock, python)
    if not options.fresh and not options.arguments:
        unchanged = _unchanged(row, target, key)
        if unchanged:
            return unchanged
    if not options.arguments:
        _mark(row, options, target, started, "it began, and no end was recorded")
    origin = verdict_file.Origin(_commit(options), bugs.revision(), python.name, lock, key)
    # Benchmarks hold the outer lock alone: nothing of ours runs beside them.
    benchmarks = environments.all_of(options.environments)
    with (
        environments.alone(
            benchmarks,
            shared=True,
            waits=lambda: options.say(f"{row.id}: waits for a benchmark that runs alone"),
        ),
        _environment(row, options) as (environment, held),
    ):
        ours = options.root if row.runs == COMPAT else None
        if not environments.is_built(environment, ours, lock, python):
            options.say(f"{row.id}: building {environment}")
        failure = _patient(
            row, lambda: environments.build(environment, ours, lock, python, held), options
        )
        if failure is not None and failure.conflict:
            return _not_installable(row, options, target, failure.why, origin)
        if failure is not None:
            return Outcome(row.id, ERROR, f"could not install: {failure.why}")
        if row.runs == SMOKE:
            return _smoke(row, options, target, origin, environment, held)
        return _test(row, options, target, origin, environment, held)


@contextlib.contextmanager
def _environment(row: Row, options: Options) -> Iterator[tuple[Path, int]]:
    """Hold the environment of a row; yield its folder and the descriptor of its lock."""
    if row.runs == SMOKE:
        with environments.first_free(options.environments) as free:
            yield free
        return
    environment = environments.folder_of(row.id, options.environments)
    with environments.alone(
        environment,
        waits=lambda: options.say(f"{row.id}: waits for another run of this row"),
    ) as held:
        yield environment, held


def _lock(row: Row, options: Options, python: environments.Interpreter) -> ahead.Lock:
    if options.ahead is not None:
        return options.ahead.lock(row, python)
    return ahead.of_row(row, options.root, python)


def _patient(row: Row, attempt: Callable[[], _T], options: Options) -> _T:
    """Try again what failed for another reason than a conflict; return the last answer."""
    answer = attempt()
    for pause in PAUSES:
        if not isinstance(answer, Failure) or answer.conflict:
            break
        options.say(f"{row.id}: {answer.why}; trying again in {pause:.0f} s")
        if options.stop.wait(pause):
            raise StoppedError
        answer = attempt()
    return answer


def _not_installable(
    row: Row, options: Options, target: Path, why: str, origin: verdict_file.Origin
) -> Outcome:
    if row.runs == SMOKE:
        run_smoke.write_not_installable(target, row, command(row), why, origin)
    else:
        verdict_file.write_not_installable(
            target, row.record(), command=command(row), why=why, origin=origin
        )
    unfinished.clear(target)
    state = RED if row.installs and options.strict else NOT_INSTALLABLE
    return Outcome(row.id, state, f"not installable: {why}" if state == RED else why)


def _unchanged(row: Row, target: Path, key: str) -> Outcome | None:
    """Return the outcome of the earlier run of a row if it finished and had the same inputs."""
    if unfinished.path_of(target).exists():
        return None
    try:
        if row.runs == SMOKE:
            return _unchanged_smoke(row, smoke_file.load(target), key)
        known = verdict_file.load(target)
    except (OSError, ValueError):
        return None  # missing or unreadable: run it
    if known.origin.key != key or known.distrusted or known.selection.partial:
        return None
    return Outcome(row.id, RED if known.red else GREEN, unchanged=known.started)


def _unchanged_smoke(row: Row, known: smoke_file.SmokeSet, key: str) -> Outcome | None:
    if known.origin.key != key:
        return None
    return Outcome(row.id, *_smoke_state(known), unchanged=known.started)


def _smoke_state(known: smoke_file.SmokeSet) -> tuple[str, str]:
    """Return how a smoke test ended: red for what no known bug explains, and which stages that are."""
    new = [stage.name for stage in known.unexplained()]
    return (RED, f"no known bug explains: {', '.join(new)}") if new else (GREEN, "")


def _smoke(
    row: Row,
    options: Options,
    target: Path,
    origin: verdict_file.Origin,
    environment: Path,
    held: int,
) -> Outcome:
    """Run the smoke test in the environment of a row, and write its file."""
    try:
        run_smoke.run(row, options.stop, target, command(row), origin, environment, held)
    except run_smoke.NotTheLockError as error:
        return Outcome(row.id, ERROR, str(error))
    except run_smoke.StoppedError:
        raise StoppedError from None
    unfinished.clear(target)
    return Outcome(row.id, *_smoke_state(smoke_file.load(target)))


def _mark(row: Row, options: Options, target: Path, started: datetime, why: str) -> None:
    if not options.arguments:
        unfinished.write(target, row.record(), started, why)


def _test(
    row: Row,
    options: Options,
    target: Path,
    origin: verdict_file.Origin,
    environment: Path,
    held: int,
) -> Outcome:
    """Run the suite, in a new process after each one that dies, until every test has had its turn."""
    diary = target.with_suffix(".journal")
    journal.start(diary, command(row), origin)
    pytest = [str(environment / "bin" / "pytest"), "compat", "--set", row.id]
    pytest += ["--verdicts", os.path.realpath(target), "--journal", os.path.realpath(diary)]
    pytest += [*selection(row), *options.arguments]
    over, killed = -1, ""
    while True:
        code = in_environment(pytest, options, environment, target, held)
        so_far = journal.read(diary)
        if so_far.complete:
            break
        if so_far.running is None and (code in range(2, 6) or len(so_far.over) == over):
            why = f"pytest ended before a verdict: {_end(code)}"
            if shutil.disk_usage(options.output).free < _A_VERDICT:
                why += f"; no space is left on the disk of {options.output}"
            return Outcome(row.id, ERROR, why)
        over = len(so_far.over)
        running = str(so_far.running["begins"]) if so_far.running else ""
        if code == -signal.SIGKILL and running and running != killed:
            # The system does that to whatever is large when memory is full. Only who dies twice is to blame.
            options.say(f"{row.id}: killed while it ran {running}, which is tried again")
            killed = running
            over = -1
            continue
        journal.died(diary, _end(code))
    diary.unlink(missing_ok=True)
    if options.arguments:
        return Outcome(row.id, RED if code else GREEN)
    unfinished.clear(target)
    known = verdict_file.load(target)
    return Outcome(row.id, RED if known.red or code == 1 else GREEN)


def in_environment(
    arguments: list[str], options: Options, environment: Path, target: Path, held: int
) -> int:
    """Run pytest of an environment in a process group; return its exit code, negative for a signal.

    ``target`` names the log, and ``held`` is the descriptor of a lock that lasts as long as pytest. Raises
    ``StoppedError``.
    """
    log = target.with_suffix(".log").open("a", encoding="utf-8") if options.quiet else None
    try:
        process = minder.start(
            arguments,
            cwd=options.root,
            env=_variables(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT if log else None,
            start_new_session=True,
            pass_fds=[held],
            group=True,
        )
    finally:
        if log:
            log.close()
    deadline = time.monotonic() + _LONGEST
    try:
        while True:
            try:
                return process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                if options.stop.is_set():
                    raise StoppedError from None
                if time.monotonic() > deadline:
                    raise _TooLongError from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        minder.forget(process.pid)


def _variables(environment: Path) -> dict[str, str]:
    """Return the variables of a program in an environment: nothing from outside is imported there.

    The environment is ours, so it keeps the bytecode that Python compiles; without it, importing torch and
    transformers takes twice as long, every time.
    """
    left_out = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS")
    variables = {name: value for name, value in os.environ.items() if name not in left_out}
    programs = environment.resolve() / "bin"
    return {
        **variables,
        "PATH": os.pathsep.join([str(programs), variables.get("PATH", os.defpath)]),
        "VIRTUAL_ENV": str(environment.resolve()),
    }


def _commit(options: Options) -> str | None:
    return inputs.commit(options.root) if options.commit == "" else options.commit


def _end(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    memory = "; the system does that when memory is full" if -code == signal.SIGKILL else ""
    return f"signal {-code} ({name}){memory}"
