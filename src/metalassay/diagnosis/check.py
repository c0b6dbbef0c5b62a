"""Runs the compatibility suite in an environment as it is: does our data tell the truth about it?

The environment needs no pytest: that of this interpreter, which is written in Python alone, is shown to it.
The suite runs in a process of its own, and in another one after each that dies, so that a test that ends the
process is a verdict and not the end.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import metalassay
from metalassay import bugs, minder
from metalassay.environment import suites, versions
from metalassay.errors import UserError, reason
from metalassay.fields import one_line, printable
from metalassay.files import check_writable, write_or_error
from metalassay.results import journal, verdict_file

SETTINGS = "check.ini"
_SHOWN = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments", "psutil")
_EVERY = 0.2  # seconds between two looks at the journal


@dataclass(frozen=True)
class Wanted:
    """What to run: the tests of these bugs (of all if empty), with the slow ones or without."""

    ids: tuple[str, ...] = ()
    slow: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a run is: tests that are over, of how many (None until they are collected), and the test that runs."""

    over: int
    total: int | None
    test: str


@dataclass(frozen=True)
class Checked:
    """What a run found: ``text`` is its verdict file, meant for ``file``, and ``known`` what is in it.

    ``unwritten`` is the error where the file could not be written, to be raised when the answer is out.
    """

    file: Path
    known: verdict_file.VersionSet
    text: str
    unwritten: UserError | None = None


class TooLongError(UserError):
    """The tests did not end within the time that was given."""


def check_ids(ids: Sequence[str]) -> None:
    """Raise ``UserError`` for a bug that we do not know, with the nearest that we do."""
    import difflib

    known = [bug.id for bug in bugs.load()]
    for each in ids:
        if each not in known:
            near = difflib.get_close_matches(each, known, 3) or known[:3]
            raise UserError(f"there is no known bug {each!r}", f"one of: {', '.join(near)}, ...")


def run(
    python: str | None,
    wanted: Wanted,
    target: Path,
    progress: Callable[[Progress], object] = lambda _: None,
    timeout: float = float("inf"),
    *,
    exactly: bool = False,
) -> Checked:
    """Run the suite, and write its verdict file.

    ``python`` is the interpreter of another environment; None is this one. A run of some bugs only is
    written beside ``target``, as ``.partial``, unless it is to be ``exactly`` there. Raises ``UserError``
    where nothing could be tested, and ``TooLongError`` after ``timeout`` seconds.
    """
    check_ids(wanted.ids)
    another = "name another file with --output"
    check_writable(target, another)
    if not exactly:
        check_writable(verdict_file.partial_of(target), another)
    with (
        tempfile.TemporaryDirectory(prefix="metalassay-check-") as name,
        prepared(python) as (
            command,
            variables,
        ),
    ):
        new, diary, log = (Path(name, each) for each in ("new.json", "new.journal", "log"))
        words = [*command, "-q", "-p", "no:cacheprovider"]
        words += [f"--bug={each}" for each in wanted.ids]
        mac = platform.system() == "Darwin"
        words += [] if wanted.slow else ["-m", verdict_file.QUICK_MARKS[mac]]
        words += [f"--basetemp={Path(name, 'made')}"]
        words += ["--verdicts", str(new), "--journal", str(diary)]
        journal.start(diary, "metalassay check", _origin(python))
        _to_the_end(words, variables, (diary, log), progress, time.monotonic() + timeout)
        made = new if new.exists() else verdict_file.partial_of(new)
        file = target if exactly or made == new else verdict_file.partial_of(target)
        known = verdict_file.load(made)
        if known.red:
            _must_import(python or sys.executable, known, variables)
        text = made.read_text("utf-8")
        return Checked(file, known, text, write_or_error(file, text, another))


def _origin(python: str | None) -> verdict_file.Origin:
    own = versions.interpreter() if python is None else None
    return verdict_file.Origin(data=bugs.revision(), interpreter=own)


@contextlib.contextmanager
def prepared(python: str | None) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Yield the command that runs the suite in an environment, as far as its options, and its variables.

    Raises ``UserError`` where pytest or the suite is missing here.
    """
    folder = suites.folder(suites.COMPAT)
    variables = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTHONPATH" if python else "")
    }
    variables |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONUTF8": "1"}
    if python is None:
        yield _pytest(sys.executable, folder), variables
        return
    with tempfile.TemporaryDirectory(prefix="metalassay-shown-") as name:
        shown = Path(name)
        for module in _SHOWN:
            _show(module, shown)
        package = Path(metalassay.__file__).resolve().parent
        (shown / "metalassay").symlink_to(package)
        # By its place in the folder that is shown: pytest puts the folder above it on the path, and that
        # must not be the one with the packages of this environment.
        if folder.parent == package:
            suite = shown / "metalassay" / folder.name
        else:
            suite = shown / folder.name
            suite.symlink_to(folder)
        variables |= {"PYTHONPATH": str(shown), "PYTHONDONTWRITEBYTECODE": "1"}
        yield _pytest(python, suite), variables


def _pytest(python: str, suite: Path) -> list[str]:
    own = [f"--rootdir={suite.parent}", f"--config-file={suite / SETTINGS}"]
    # -P: the working directory is the user's, and its json.py is not the module json.
    return [python, "-P", "-m", "pytest", str(suite), *own]


def _show(module: str, shown: Path) -> None:
    spec = util.find_spec(module)
    if spec is None or spec.origin is None:
        return
    origin = Path(spec.origin)
    there = origin.parent if origin.name == "__init__.py" else origin
    (shown / there.name).symlink_to(there)


def _to_the_end(
    words: list[str],
    variables: dict[str, str],
    files: tuple[Path, Path],
    progress: Callable[[Progress], object],
    deadline: float,
) -> None:
    """Run pytest until every test has had its turn. Raises ``UserError`` if it cannot."""
    diary, log = files
    while True:
        before = len(journal.read(diary).over)
        code = _process(words, variables, files, progress, deadline)
        so_far = journal.read(diary)
        if so_far.complete:
            return
        if so_far.running is None and (code >= 0 or len(so_far.over) == before):
            raise UserError(f"nothing was tested: {_why(code, log)}", "metalassay doctor")
        end = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
        journal.died(diary, end)


def _process(
    words: list[str],
    variables: dict[str, str],
    files: tuple[Path, Path],
    progress: Callable[[Progress], object],
    deadline: float,
) -> int:
    diary, log = files
    try:
        with log.open("wb") as output:
            process = minder.start(
                words,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                group=True,
            )
    except OSError as error:
        raise UserError(f"{words[0]}: {reason(error)}", "name another --env") from None
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=_EVERY)
            if time.monotonic() > deadline:
                raise TooLongError("the tests did not end in time", "metalassay doctor")
            so_far = journal.read(diary)
            running = str(so_far.running["begins"]) if so_far.running else ""
            progress(Progress(len(so_far.over), so_far.total, running.partition("::")[2]))
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        minder.forget(process.pid)


def _must_import(python: str, known: verdict_file.VersionSet, variables: dict[str, str]) -> None:
    """Raise ``UserError`` if an installed package cannot be imported: then the tests say nothing of bugs."""
    for package in ("torch", "accelerate", "transformers"):
        if package not in known.versions:
            continue
        try:
            done = subprocess.run(  # noqa: S603  (the environment's own interpreter, no shell)
                [python, "-P", "-c", f"import {package}"],
                env=variables,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=120,
                check=False,
            )
        except subprocess.TimeoutExpired:
            continue  # slow is not broken
        if done.returncode:
            lines = [one_line(printable(line)) for line in done.stderr.splitlines() if line.strip()]
            why = lines[-1] if lines else f"its import ended with {done.returncode}"
            raise UserError(
                f"nothing was tested: {package} {known.versions[package]} cannot be imported: {why}"[
                    :400
                ],
                "metalassay doctor",
            )


def _why(code: int, log: Path) -> str:
    """Return in one line why pytest ended before a verdict, from what it printed."""
    if code == 5:
        return "no test applies to what is installed"
    lines = [one_line(printable(line)) for line in log.read_text("utf-8", "replace").splitlines()]
    for sign in (r"E\s", r"INTERNALERROR> \w", r"ERROR|\w*Error\b", r"."):
        if found := [line for line in lines if re.match(sign, line)]:
            break
    last = found[-1] if found else f"exit code {code}"
    return re.sub(r"^(E|ERROR|INTERNALERROR>)\s+", "", last)[:300]
