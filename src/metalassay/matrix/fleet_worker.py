"""What a Dask worker does with a row: unpack the client's sources and run the row in a process of them.

Dask sends these functions by name, so that the worker uses its own. They take and return plain data:
the client may be newer. What tests the row is the client's code, from the archive.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from metalassay.matrix import sources
from metalassay.results import unfinished

TOPIC = "metalassay-rows"
"""Dask's topic on which workers say which row begins."""

ALLOWED_FAILURES = 1
"""How many workers may die while they run a row before the row is given up."""

_PATIENCE = 10.0  # seconds for a row to end by itself
_OLD = 24 * 3600.0  # seconds after which a folder that a killed worker left is removed


def cache() -> Path:
    """Return the folder where a worker keeps sources and environments: METALASSAY_CACHE has the last word."""
    chosen = os.environ.get("METALASSAY_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "metalassay" / "fleet"


def same(content: bytes) -> bytes:
    """Return what is given: as a task, it hands the archive to every worker, and again if one dies."""
    return content


def allow_failures(number: int, dask_scheduler: Any = None) -> None:
    """Tell the scheduler, where this runs, how many workers a task may take with it."""
    dask_scheduler.allowed_failures = number


def perform(order: Mapping[str, Any], archive: bytes) -> dict[str, Any]:
    """Run a row on this worker, and return how it ended with the files that it wrote.

    ``order`` has "task" and "run", which name the row and the client's run in events, "sources" (the name of
    the archive), "known" (the earlier files of the row, by name) and what ``fleet_row`` reads. Runs in a
    thread of Dask's worker; when the client gives the task up, the row is killed.
    """
    from distributed import Reschedule, get_worker

    worker = get_worker()
    key = worker.get_current_task()
    about = {"worker": worker.address, "host": platform.node()}
    names = {"task": order["task"], "run": order["run"], "hardware": unfinished.this_machine()}
    worker.log_event(TOPIC, {**names, **about})

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state != "cancelled"

    result = execute(order, archive, cache(), wanted)
    if result is None:
        raise Reschedule  # ignored, unless somebody wants the task after all
    return {**about, **result}


def execute(
    order: Mapping[str, Any], archive: bytes, folder: Path, wanted: Callable[[], bool]
) -> dict[str, Any] | None:
    """Run a row in a process of its own; return its result, or None if it is not ``wanted`` any more.

    ``folder`` is the cache. The result has "outcome", or "error" where the process ended without one, and
    "files", the content of what it wrote by name.
    """
    root = sources.unpack(archive, order["sources"], folder / "sources")
    runs = folder / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    _remove_old(runs)
    work = Path(tempfile.mkdtemp(dir=runs))
    try:
        output = work / "output"
        output.mkdir()
        for name, content in order["known"].items():
            (output / name).write_bytes(content)
        words = {name: value for name, value in order.items() if name not in ("known", "sources")}
        words |= {"root": str(root), "output": str(output), "result": str(work / "result.json")}
        words |= {"environments": str(folder / "environments")}
        end = _process(words, root, wanted)
        if end is None:
            return None
        return {**_result(work / "result.json", end), "files": _new_files(output, order["known"])}
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _process(words: Mapping[str, Any], root: Path, wanted: Callable[[], bool]) -> int | None:
    """Run ``fleet_row`` of the sources; return its exit code, or None if it was given up.

    The process ends when its standard input does, which is when this worker lets go of it, or dies.
    """
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "metalassay.matrix.fleet_row"],
        cwd=root,
        env=environment,
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(words).encode() + b"\n")
                process.stdin.flush()
        while process.poll() is None:
            if not wanted():
                return None
            time.sleep(0.2)
        return process.returncode
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    try:
        process.wait(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _result(path: Path, end: int) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        how = f"exit code {end}" if end >= 0 else f"signal {-end} ({signal.Signals(-end).name})"
        return {"error": f"the process that ran it ended without a result: {how}"}
    return found


def _new_files(output: Path, known: Mapping[str, bytes]) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}
    return {
        name: content
        for name, content in found.items()
        if known.get(name) != content and not name.endswith(".journal")
    }


def _remove_old(runs: Path) -> None:
    for path in runs.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _OLD:
                shutil.rmtree(path, ignore_errors=True)
