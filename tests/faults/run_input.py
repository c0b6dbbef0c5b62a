"""Runs one hostile input in a forked process, and judges what the user would see.

The command line is imported once; a fork takes milliseconds where a start takes a tenth of a second. The
child has a folder, a session and limits of its own.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults import hostile
from tests.faults.commands import Row
from tests.faults.inputs import Input

ROOT = Path(__file__).parents[2]
SLOW = 20.0  # seconds after which a command is said to hang; the slowest here takes two on an idle machine
RARE_SLOW = 90.0  # where torch is imported
ENDLESS = 5.0  # what may take long is ended without a verdict about its time
_MEMORY = 8 * 2**30  # bytes of address space
_LARGEST = 64 * 2**20  # bytes of a file or an output
_EARLIER = "an earlier result\n"
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]|\r(?!\n)")
_NEVER_ONLINE = {
    "UV_OFFLINE": "1",
    "PIP_NO_INDEX": "1",
    "HF_HUB_OFFLINE": "1",
    "NO_PROXY": "",
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
}

Program = Callable[[Sequence[str]], int]


@dataclass(frozen=True)
class Outcome:
    """What a run left: its exit code (negative: a signal), outputs, seconds, and what became of files."""

    code: int
    out: str
    err: str
    seconds: float
    hung: bool
    left: tuple[str, ...]
    """Sentences about files and processes that it should not have left or changed."""


def run(program: Program, given: Input, row: Row) -> Outcome:
    """Run ``program`` with an input in a folder of its own, which is removed."""
    with tempfile.TemporaryDirectory(prefix="metalassay-faults-") as name:
        place, outputs = Path(name, "here"), Path(name)
        place.mkdir()
        _plant(given, row, place)
        earlier = place / "earlier-result.json"
        earlier.write_text(_EARLIER)
        kinds = {each: os.lstat(place / each).st_mode & 0o170000 for each in given.files}
        began = time.monotonic()
        limit = ENDLESS if row.endless else SLOW if row.weight else RARE_SLOW
        code, hung = _in_a_fork(program, given, row, place, outputs, limit)
        seconds = time.monotonic() - began
        left: list[str] = []
        if given.surroundings != "deleted folder":
            unchanged = earlier.is_file() and earlier.read_text() == _EARLIER
            left += [] if unchanged else ["it changed an earlier result"]
            left += _damaged(given, place, kinds)
            left += [f"it left {each.name[:60]!r}" for each in place.rglob("*.part")]
        out, err = (
            (outputs / each).read_bytes().decode("utf-8", "backslashreplace")
            for each in ("out", "err")
        )
        _writable(place)
    return Outcome(code, out, err, seconds, hung, tuple(left))


def _plant(given: Input, row: Row, place: Path) -> None:
    valid = [(ROOT / each).read_bytes() for each in row.valid] or [b"{}"]
    for number, (name, kind) in enumerate(given.files.items()):
        chance = random.Random(f"{given.seed}/{number}")
        hostile.FILES[kind](place / name, chance, chance.choice(valid))
    if given.stdin:
        chance = random.Random(f"{given.seed}/stdin")
        hostile.FILES[given.stdin](place.parent / "stdin", chance, chance.choice(valid))


def _damaged(given: Input, place: Path, kinds: Mapping[str, int]) -> Iterator[str]:
    """Yield what was no regular file before and is something else now: a device must not be replaced."""
    for name, kind in kinds.items():
        try:
            now = os.lstat(place / name).st_mode & 0o170000
        except OSError:
            now = 0
        if now != kind:
            yield f"it replaced {name[:60]!r}, a file of the kind {given.files[name]!r}"


def _writable(place: Path) -> None:
    for each in (place, *place.rglob("*")):
        with contextlib.suppress(OSError):
            if not each.is_symlink():
                each.chmod(0o700)


def _in_a_fork(
    program: Program, given: Input, row: Row, place: Path, outputs: Path, limit: float
) -> tuple[int, bool]:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        try:
            _become(program, given, place, outputs)
        finally:
            os._exit(70)
    handle = os.pidfd_open(pid)
    ended, _, _ = select.select([handle], [], [], limit)
    os.close(handle)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), not ended


def _become(program: Program, given: Input, place: Path, outputs: Path) -> None:
    """Be the program: never returns."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL if number != signal.SIGPIPE else signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST, _LARGEST))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ.update(_NEVER_ONLINE)
    for name, value in hostile.SURROUNDINGS[given.surroundings].items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    tempfile.tempdir = None
    os.chdir(place)
    _streams(given, outputs)
    if given.surroundings == "deleted folder":
        shutil.rmtree(place)
    sys.argv = ["metalassay", *given.command.split(), *given.arguments]
    code = 1
    try:
        code = program(sys.argv[1:])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  (as Python ends with one that nobody caught)
        with contextlib.suppress(OSError, AttributeError):
            os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code & 0xFF)


def _streams(given: Input, outputs: Path) -> None:
    """Open the descriptors 0 to 2, and Python's streams as it does itself when it starts."""
    (outputs / "out").touch()
    (outputs / "err").touch()
    how = given.surroundings
    readable = outputs / "stdin" if given.stdin else Path(os.devnull)
    targets = {
        "stdout": "/dev/full" if how == "full stdout" else str(outputs / "out"),
        "stderr": "/dev/full" if how == "full stderr" else str(outputs / "err"),
    }
    os.dup2(os.open(readable, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(targets[name], os.O_WRONLY | os.O_APPEND), number)
    if how == "unread stdout":
        reading, writing = os.pipe()
        os.dup2(writing, 1)
        os.close(reading)
        os.close(writing)
    encoding = (os.environ.get("PYTHONIOENCODING") or "utf-8").partition(":")[0]
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        if how == f"closed {name}":
            os.close(number)
            setattr(sys, name, None)
            continue
        errors = "backslashreplace" if name == "stderr" else "strict"
        stream = io.TextIOWrapper(
            io.FileIO(number, "r" if number == 0 else "w", closefd=False)
            if number == 2
            else open(number, "rb" if number == 0 else "wb", closefd=False),  # noqa: SIM115
            encoding=encoding,
            errors="surrogateescape" if number == 0 else errors,
            write_through=number == 2,
        )
        setattr(sys, name, stream)


def faults(given: Input, row: Row, outcome: Outcome) -> list[str]:
    """Return what is wrong with a run, each as a short sentence that begins with its kind."""
    found = [f"left: {each}" for each in outcome.left]
    if outcome.hung and row.endless:
        return found
    if outcome.hung:
        return [*found, f"hang: no end within {outcome.seconds:.0f} s"]
    if "Traceback (most recent call last)" in outcome.err:
        last = outcome.err.rstrip().rpartition("\n")[2]
        return [*found, f"traceback: {last[:200]}"]
    if outcome.code < 0:
        return [*found, f"signal: it died of {signal.Signals(-outcome.code).name}"]
    if outcome.code not in row.codes:
        found.append(f"code: it exited with {outcome.code}")
    for name, text in (("output", outcome.out), ("messages", outcome.err)):
        if match := _CONTROL.search(text):
            found.append(f"control: {match[0]!r} in its {name}")
    heard = given.surroundings not in ("closed stderr", "full stderr")
    if outcome.code == 2 and heard and not _is_json(outcome.out):
        if not re.search(r"^metalassay: \S", outcome.err, re.MULTILINE):
            found.append("message: exit code 2 without a line that says why")
        elif not re.search(r"^  next: \S", outcome.err, re.MULTILINE):
            found.append("message: exit code 2 without a next step")
    if outcome.code == 1 and not outcome.out and not outcome.err and heard:
        found.append("message: exit code 1 without a word")
    if len(max(outcome.err.splitlines(), default="", key=len)) > 6000:
        found.append("message: a line of more than 6,000 characters")
    return found


def _is_json(text: str) -> bool:
    """Whether an output is the JSON that was asked for, which says itself what is wrong."""
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False
