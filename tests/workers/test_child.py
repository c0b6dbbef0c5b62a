"""The child process of an arm: its messages, over a socket and without torch."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from metalassay.workers import child as child_program
from metalassay.workers.processes import CHILD
from metalassay.workers.specs import Arm, parse

BENCH = """
print("noise on stdout")
calls = []

def step():
    calls.append(1)

def long():
    import time
    until = time.process_time() + 0.025
    while time.process_time() < until:
        pass

def broken():
    raise ValueError("no data\\nsecond line")
"""


class Child:
    """A child process and the socket to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, str(CHILD), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        ours.settimeout(60)
        self.wire = ours
        self.lines = ours.makefile("rb")

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        self.wire.sendall(json.dumps(message).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self.lines.readline())
        return answer

    def build(self, text: str) -> dict[str, Any]:
        return self.ask({"build": Arm("A", parse(text), sys.executable, self.folder).message(0.01)})

    def end(self) -> bytes:
        """Close the socket, upon which the child ends; return its standard output."""
        self.lines.close()
        self.wire.close()
        out, _ = self.process.communicate(timeout=60)
        return out


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    (tmp_path / "bench.py").write_text(BENCH)
    started = Child(tmp_path)
    yield started
    started.end()


def test_a_built_arm_reports_its_facts_times_steps_and_finishes(child: Child) -> None:
    facts = child.build("bench.py::step")
    assert facts["pid"] == child.process.pid
    assert (facts["torch"], facts["threads"], facts["emulated"]) == (None, 1, False)
    timing = child.ask({"sample": 3})
    assert set(timing) == {"wall", "cpu", "warmed"}
    assert timing["wall"] > 0
    assert set(child.ask({"finish": True})) == {"peak_rss", "driver_seen", "page_faults"}


def test_a_long_step_is_warmed_up_again_after_a_long_pause_not_after_the_turns_of_the_others(
    child: Child,
) -> None:
    step = child.build("bench.py::long")["step"]
    assert step > 0.02  # of CPU time, so that the turns of the others can take 0.2 s
    child.ask({"sample": 1})
    time.sleep(0.3)
    assert child.ask({"sample": 1})["warmed"] == 0
    time.sleep(20 * step + 0.1)
    assert child.ask({"sample": 1})["warmed"] == 1


def test_the_most_that_the_driver_was_seen_to_hold_is_reported() -> None:
    arm = object.__new__(child_program._Arm)
    held = iter([100, 300, None, 200])
    arm.driver, arm.driver_seen = lambda: next(held), None
    arm.check, arm.peak_rss, arm.steps, arm.faults = None, lambda: 7, 1, 0
    for _ in range(3):
        arm._see_memory()
    assert arm.finish() == {"peak_rss": 7, "driver_seen": 300, "page_faults": 0.0}


def test_the_output_of_the_benchmark_does_not_reach_standard_output(child: Child) -> None:
    child.build("bench.py::step")
    assert child.end() == b""
    assert child.process.returncode == 0


def test_an_error_of_the_benchmark_is_answered_with_its_first_line(child: Child) -> None:
    assert child.build("bench.py::broken") == {"error": "ValueError: no data"}


@pytest.mark.skipif(
    importlib.util.find_spec("mlx") is None,
    reason="mlx is not installed: pip install 'metalassay[mlx]'",
)
def test_an_arm_in_mlx_says_so_and_its_steps_are_computed(child: Child) -> None:
    facts = child.build("gpt-tiny:train:framework=mlx")
    assert facts["mlx"] == metadata.version("mlx")
    assert facts["parameters"] == 13_568
    timing = child.ask({"sample": 2})
    assert (
        min(timing["cpu"], timing["wall"]) > 1e-4
    )  # a step that is only described takes microseconds
    assert set(child.ask({"finish": True})) == {"peak_rss", "driver_seen", "page_faults"}


def test_work_before_anything_is_built_is_an_error(child: Child) -> None:
    assert child.ask({"sample": 1}) == {"error": "work requested before anything was built"}


def test_the_child_does_not_bring_our_packages_into_another_environment() -> None:
    """The folder of our package may be a site-packages with another torch in it."""
    code = (
        "import sys, runpy; sys.argv = ['x']; sys.path[0] = {!r}; "
        "module = runpy.run_path({!r}); module['_our_package'](); "
        "import metalassay.measure.steady_state; print([p for p in sys.path if p.endswith('metalassay')])"
    )
    command = [sys.executable, "-I", "-c", code.format(str(CHILD.parent), str(CHILD))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
