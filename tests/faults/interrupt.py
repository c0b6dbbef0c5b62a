"""Interrupts real commands at any time, and looks at what they leave."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import psutil
from tests.faults.commands import Row
from tests.faults.run_input import ROOT

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
KINDS = (*(each.name for each in SIGNALS), "full disk", "folder gone")
_MARK = "METALASSAY_FAULT"
_END = 30.0  # seconds from a signal to the end; training finishes its step
_CHILDREN = 6.0  # seconds in which nothing of it may be left
_FULL = 2000  # bytes that a file may have where the disk is "full"
_WORK = """
import sys, time
def one():
    sum(range(20_000))
def other():
    sum(range(20_000))
def make(batch_size):
    import torch
    return torch.nn.Linear(3, 2), torch.ones(batch_size, 3)
if __name__ == "__main__":
    until = time.monotonic() + 8
    while time.monotonic() < until:
        one()
        print("at work", flush=True)
        time.sleep(0.05)
"""


@dataclass(frozen=True)
class Fault:
    """One interrupted command: its kind, the seconds until it comes, and what went wrong."""

    command: str
    kind: str
    after: float
    code: int
    wrong: tuple[str, ...]


def interrupt(row: Row, kind: str, seed: int) -> Fault:
    """Run the call of a row that works for a while, and interrupt it after a random time."""
    chance = random.Random(f"{seed}/{row.command}/{kind}")
    after = chance.choice(
        (chance.uniform(0.02, 0.4), chance.uniform(0.2, 2.0), chance.uniform(1, 6))
    )
    with tempfile.TemporaryDirectory(prefix="interrupted-", ignore_cleanup_errors=True) as name:
        here, outputs = Path(name, "here"), Path(name)
        here.mkdir()
        (here / "work.py").write_text(_WORK)
        earlier = _earlier(row, here)
        mark = uuid.uuid4().hex
        process = _start(row, here, outputs, mark, full=kind == "full disk")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after)
        if kind == "folder gone":
            shutil.rmtree(here, ignore_errors=True)
            if row.endless:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1)  # it must bear to find its files gone
                process.terminate()
        elif kind != "full disk" and process.poll() is None:
            _send(process, getattr(signal, kind))
        elif row.endless:
            process.terminate()
        hung = False
        try:
            # A full disk and a lost folder end it by what it does next; so much does its work take.
            process.wait(_END if kind.startswith("SIG") else 90)
        except subprocess.TimeoutExpired:
            hung = True
            process.kill()
            process.wait()
        left = _left(mark)
        for each in left:
            with contextlib.suppress(psutil.Error):
                each.kill()
        err = (outputs / "err").read_text("utf-8", "replace")
        wrong = ["hang: it did not end"] if hung else []
        wrong += [f"orphan: {each.pid} {_name(each)} outlived it" for each in left]
        wrong += _said(kind, process.returncode, err, row)
        if kind != "folder gone":
            wrong += _files(here, earlier, killed=kind == "SIGKILL")
    return Fault(row.command, kind, after, process.returncode, tuple(wrong))


def draw(rows: Mapping[str, Row], seed: int, number: int) -> list[Row]:
    """Return ``number`` rows to interrupt: each that imports torch about once, and the others at random."""
    chance = random.Random(seed)
    quick = [row for row in rows.values() if row.works and row.weight]
    slow = [row for row in rows.values() if row.works and not row.weight]
    rare = [row for row in slow for _ in range(max(1, number // 50))][:number]
    return [*rare, *(chance.choice(quick) for _ in range(number - len(rare)))]


def many(rows: Sequence[Row], seed: int, jobs: int) -> list[Fault]:
    """Interrupt each of the rows once, several at a time: they mostly wait."""
    kinds = [random.Random(f"{seed}/{number}").choice(KINDS) for number in range(len(rows))]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return list(pool.map(interrupt, rows, kinds, range(seed, seed + len(rows))))


def _earlier(row: Row, here: Path) -> Mapping[Path, str]:
    """Write earlier results where the command will write its own, and return their content."""
    earlier = {}
    for word in row.works:
        path = Path(_word(word, here))
        if word.startswith("HERE/") and path.suffix in (".json", ".csv", ".svg"):
            if row.command == "compare":
                continue  # it would go on with an earlier run
            path.write_text("{}")
            earlier[path] = "{}"
    return earlier


def _word(word: str, here: Path) -> str:
    for name, value in (
        ("HERE", str(here)),
        ("ROOT", str(ROOT)),
        ("PYTHON", sys.executable),
        ("SELF", str(os.getpid())),
    ):
        if word == name or word.startswith(f"{name}/"):
            return value + word.removeprefix(name)
    return word


def _start(
    row: Row, here: Path, outputs: Path, mark: str, *, full: bool
) -> subprocess.Popen[bytes]:
    def child() -> None:
        # A shell or a test run in the background starts programs with Ctrl+C ignored.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if full:
            resource.setrlimit(resource.RLIMIT_FSIZE, (_FULL, _FULL))

    words = [_word(word, here) for word in row.works]
    command = [sys.executable, "-P", "-m", "metalassay", *row.command.split(), *words]
    text = (ROOT / "tests/data/faults/log.txt").read_bytes() * (10_000 if row.stdin else 0)
    (outputs / "stdin").write_bytes(text)
    with (
        (outputs / "stdin").open("rb") as stdin,
        (outputs / "out").open("wb") as out,
        (outputs / "err").open("wb") as err,
    ):
        return subprocess.Popen(
            command,
            cwd=here,
            env=_variables(mark, full=full),
            stdin=stdin,
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=child,
        )


def _variables(mark: str, *, full: bool) -> dict[str, str]:
    variables = {**os.environ, _MARK: mark, "UV_OFFLINE": "1", "PIP_NO_INDEX": "1"}
    # Python leaves bytecode cut off where a file is full, and could not import it afterwards.
    return variables | ({"PYTHONDONTWRITEBYTECODE": "1"} if full else {})


def _send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)


def _left(mark: str) -> list[psutil.Process]:
    until = time.monotonic() + _CHILDREN
    while (found := list(_marked(mark))) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(_MARK) == mark:
                yield process


def _name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:100]
    except psutil.Error:
        return "(gone)"


def _said(kind: str, code: int, err: str, row: Row) -> Iterator[str]:
    # The user's own program may have a traceback of its own.
    if "Traceback (most recent call last)" in err and "/metalassay/" in err:
        yield f"traceback: {err.rstrip().rpartition(chr(10))[2][:200]}"
    number = getattr(signal, kind, None)
    done = {*row.codes, 0, 1, 2, 3}  # it can be over before the signal, or in spite of it
    # Before Python has started, a signal ends it as it ends any program. Where it came during an exec of a text,
    # as dataclasses do it, Python ends itself by SIGINT, which a shell shows as 130.
    allowed = done if number is None else {*done, 130, 128 + number, -number, -signal.SIGINT}
    if row.endless:  # it was ended by the test itself
        allowed |= {130, 128 + signal.SIGTERM, -signal.SIGTERM}
    if row.command == "run":
        allowed |= {74, 75}
    if code not in allowed:
        yield f"code: it exited with {code}"


def _files(here: Path, earlier: Mapping[Path, str], *, killed: bool) -> Iterator[str]:
    for path in sorted(here.rglob("*")):
        name = path.relative_to(here)
        if path.name.endswith(".part") and not killed:  # after SIGKILL the next run removes it
            yield f"left: {name}"
        is_json = path.suffix == ".json" and path.is_file()
        if is_json and not _is_whole(path.read_text("utf-8", "replace")):
            yield f"half-written: {name}"
    for path, content in earlier.items():
        if not path.exists():
            yield f"lost: {path.name}"
        elif (
            path.suffix != ".json"
            and content != path.read_text("utf-8")
            and not path.stat().st_size
        ):
            yield f"half-written: {path.name}"


def _is_whole(text: str) -> bool:
    """Whether a text is JSON, or a line of JSON each, as in a saved comparison."""
    for parts in ([text], text.splitlines()):
        with contextlib.suppress(ValueError):
            for part in parts:
                json.loads(part)
            return True
    return False
