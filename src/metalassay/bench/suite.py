"""Runs the benchmark suite on one device, in a process of its own, and reports how far it is."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from metalassay import minder
from metalassay.environment import suites
from metalassay.errors import UserError
from metalassay.fields import one_line

QUICK = (("transit-cnn", 64), ("gpt-small", 4))
FULL = (("transit-cnn", 4), *QUICK, ("gpt-tiny", 4), ("gpt-original", 4))
"""The workloads with their batch sizes; each is trained and run."""
RLHF = tuple(f"rlhf-{kind}" for kind in ("sft", "reward", "dpo", "ppo", "grpo"))
"""The workloads of benchmarks/test_rlhf.py, which are trained only."""
MODES = ("train", "infer")

_NO_PROOF = 20  # benchmarks/conftest.py exits with it where a check of the self-test fails
_BENCHMARK = re.compile(r"\[(?P<workload>.+)-b(?P<batch>\d+)-(?P<mode>train|infer)-\w+\]$")
# Ours alone: neither a plugin of the environment nor an option of the user changes what is measured.
_INI = "[pytest]\naddopts =\n"
_PLUGINS = ("benchmark", "metalassay.testing.pytest_progress")
_EMULATOR = "metalassay.mps.emulator.pytest_plugin"
_LOOK_EVERY = 0.25  # seconds
_TO_END = 10.0  # seconds that an interrupted suite has to end


@dataclass(frozen=True)
class Step:
    """One benchmark of a run, as progress names it; ``batch`` is in samples."""

    device: str
    workload: str
    batch: int
    mode: str

    def __str__(self) -> str:
        """Return its name, as in "mps: transit-cnn training, batch 64"."""
        word = {"train": "training", "infer": "inference"}[self.mode]
        return f"{self.device}: {self.workload} {word}, batch {self.batch}"


@dataclass(frozen=True)
class Ran:
    """What one device left: the file of pytest-benchmark, and why benchmarks failed or were skipped.

    ``proof`` says which check of the self-test failed, "" if none did; then there is no ``document``.
    """

    document: dict[str, Any] | None
    failures: dict[Step, str] = field(default_factory=dict)
    proof: str = ""


class Listener(Protocol):
    """Is told how far a run is."""

    def begins(self, what: str) -> None:
        """Note that a step begins."""

    def ends(self, what: str, outcome: str, seconds: float) -> None:
        """Note how a step ended, and how long it took."""

    def tick(self) -> None:
        """Note that time has passed."""


def steps(devices: tuple[str, ...], workloads: tuple[tuple[str, int], ...]) -> list[Step]:
    """Return the steps of a run, in an order that the suite may change."""
    return [
        Step(device, workload, batch, mode)
        for device in devices
        for workload, batch in workloads
        for mode in MODES
    ]


def run(
    device: str,
    workloads: tuple[tuple[str, int], ...],
    seconds: float,
    listen: Listener,
    *,
    emulated: bool = False,
) -> Ran:
    """Run the benchmarks of ``workloads`` on ``device``, with ``seconds`` of timed rounds for each.

    Raises ``UserError`` where the suite ended without a result, and nothing is left of it in any case.
    """
    with tempfile.TemporaryDirectory(prefix="metalassay-bench-") as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text(_INI, "utf-8")
        result, events, log = folder / "result.json", folder / "events.jsonl", folder / "log.txt"
        events.touch()
        command = _command(folder, device, workloads, seconds, emulated=emulated)
        command += [f"--benchmark-json={result}", f"--progress-file={events}"]
        with log.open("wb") as output:
            child = minder.start(
                command, cwd=folder, env=_environment(), stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
            try:
                failures, stopped = _follow(child, events, device, listen)
            finally:
                end_child(child)
                minder.forget(child.pid)
        if child.returncode == _NO_PROOF:
            return Ran(None, failures, stopped or "a check failed")
        document = _read(result)
        if document is None or child.returncode not in (0, 1):
            why = stopped or _last(log.read_text("utf-8", errors="replace"))
            raise UserError(
                f"the benchmarks on {device} ended with code {child.returncode}: {why}",
                "metalassay doctor",
            )
        return Ran(document, failures)


def _command(
    folder: Path,
    device: str,
    workloads: tuple[tuple[str, int], ...],
    seconds: float,
    *,
    emulated: bool,
) -> list[str]:
    emulate = emulated and device == "mps" and platform.system() != "Darwin"
    plugins = (*_PLUGINS, _EMULATOR) if emulate else _PLUGINS
    options = ["--need-selftest"]
    options += ["--allow-emulated"] if emulated else []
    options += ["--emulate-mps"] if emulate else []
    chosen = " or ".join(f"{workload}-b{batch}-" for workload, batch in workloads)
    return [
        *(sys.executable, "-P", "-m", "pytest", "-q"),
        *(f"-c{folder / 'pytest.ini'}", f"--rootdir={folder}", "-pno:cacheprovider"),
        *(f"-p{plugin}" for plugin in plugins),
        *(f"--device={device}", f"--benchmark-max-time={seconds}", *options),
        # Beside what a run for people is about, and accepted by.
        *("-k", f"({chosen}) and not test_mlx", str(suites.folder(suites.BENCHMARKS))),
    ]


def _environment() -> dict[str, str]:
    """Return the environment without what would change pytest; plugins of other packages stay away."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def _follow(
    child: subprocess.Popen[bytes], events: Path, device: str, listen: Listener
) -> tuple[dict[Step, str], str]:
    """Report the events of a suite until it ends; return its failures, and why it stopped early."""
    failures: dict[Step, str] = {}
    stopped, began = "", time.monotonic()
    with events.open(encoding="utf-8") as stream:
        while True:
            running = (
                child.poll() is None
            )  # before the lines: the last ones are written before the end
            for event in _lines(stream):
                if event["what"] == "stops":
                    stopped = one_line(event["text"])
                    continue
                step = _step(device, event["test"])
                if event["what"] == "begins":
                    began = time.monotonic()
                    listen.begins(str(step))
                    continue
                if event["outcome"] != "passed":
                    failures[step] = f"{event['outcome']}: {one_line(event['text'])}"
                listen.ends(str(step), failures.get(step, "measured"), time.monotonic() - began)
            if not running:
                return failures, stopped
            listen.tick()
            time.sleep(_LOOK_EVERY)


def _lines(stream: Any) -> Iterator[dict[str, Any]]:
    """Yield what was written since the last call; a line that is still being written waits."""
    while True:
        place = stream.tell()
        line = stream.readline()
        if not line.endswith("\n"):
            stream.seek(place)
            return
        yield json.loads(line)


def _step(device: str, test: str) -> Step:
    found = _BENCHMARK.search(test)
    if found is None:
        return Step(device, test, 0, "train")
    return Step(device, found["workload"], int(found["batch"]), found["mode"])


def end_child(child: subprocess.Popen[bytes]) -> None:
    """End a child that still runs; after Ctrl+C it has been told already, and has its time to end."""
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(_TO_END)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _read(result: Path) -> dict[str, Any] | None:
    """Return the file of pytest-benchmark; it is empty where the suite could not run."""
    try:
        document = json.loads(result.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and document.get("benchmarks") else None


def _last(log: str) -> str:
    """Return the last line of the suite's output that says something."""
    said = [one_line(line) for line in log.splitlines() if re.search(r"\w", line)]
    errors = [
        line for line in said if re.match(r"(E |ERROR|INTERNALERROR>.*Error|\w*Error:)", line)
    ]
    return (errors or said or ["it said nothing"])[-1]
