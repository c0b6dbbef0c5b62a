"""The watch thread: which processes have it, what it answers, and that it ends with the program."""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path
from types import ModuleType

import pytest
from child_run import Ended, run

from metalassay.child.requests import Stop
from metalassay.child.run import Run
from metalassay.child.watch import Watch
from metalassay.supervise import protocol

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

BEGIN = """
import os, sys, threading, time
from pathlib import Path
import torch
from metalassay.supervise.protocol import Request, write_request
def ask(number, want):
    write_request(Path(os.environ["METALASSAY_RUN"]), Request(number, want))
def watched():
    return [each.name for each in threading.enumerate() if each.name == "metalassay run"]
"""


def test_the_stacks_of_all_threads_go_to_stderr() -> None:
    code = """
def where_it_is():
    time.sleep(1)
print(watched())
ask(1, "stacks")
sys.stderr = None
where_it_is()
"""
    ended = run([sys.executable, "-c", BEGIN + code])
    assert ended.out == "['metalassay run']\n"
    assert "in where_it_is" in ended.err
    assert ended.err.count("in where_it_is") == 1, "a request is answered once"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_that_loads_data_has_no_thread(method: str) -> None:
    code = """
import multiprocessing
def has(queue): queue.put(watched())
if __name__ == "__main__":
    context = multiprocessing.get_context(METHOD)
    queue = context.Queue()
    process = context.Process(target=has, args=(queue,))
    process.start()
    print(queue.get(), watched())
    process.join()
""".replace("METHOD", repr(method))
    ended = run_file(BEGIN + code)
    assert ended.out == "[] ['metalassay run']\n", ended.err
    assert [each["worker"] for each in ended.of("started")] == (
        [False] if method == "fork" else [False, True]
    )


def run_file(text: str) -> Ended:
    """Run a program from a file, which spawned processes can import again."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "program.py"
        script.write_text(text)
        return run([sys.executable, script])


def test_a_worker_that_trains_has_one_from_its_first_step() -> None:
    code = """
import multiprocessing
def train(queue):
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    queue.put(watched())
    time.sleep(0.6)
if __name__ == "__main__":
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=train, args=(queue,))
        process.start()
        print(queue.get())
        process.join()
"""
    ended = run_file(BEGIN + code)
    assert ended.out == "['metalassay run']\n" * 2, ended.err
    assert len({each["pid"] for each in ended.of("steps")}) == 2


@pytest.mark.parametrize(
    ("end", "code"),
    [("sys.exit(3)", 3), ("1 / 0", 1), ("os._exit(4)", 4), ("os.kill(os.getpid(), 15)", -15)],
)
def test_the_program_ends_as_it_would(end: str, code: int) -> None:
    ended = run([sys.executable, "-c", f"{BEGIN}\ntime.sleep(0.3)\n{end}"])
    assert ended.code == code
    assert ("Traceback" in ended.err) == (end == "1 / 0")
    assert len(ended.of("ended")) == (end == "1 / 0")


def test_the_thread_has_ended_before_python_takes_the_interpreter_apart(tmp_path: Path) -> None:
    quick = Run(tmp_path, protocol.Config(tick=0.01))
    watch = Watch(quick, Stop(quick), ModuleType("torch"))
    watch.start()
    watch.start()
    named = [each for each in threading.enumerate() if each.name == "metalassay run"]
    assert len(named) == 1
    watch.end()
    assert not named[0].is_alive()


def test_a_request_that_cannot_be_read_is_one_line_and_the_program_goes_on() -> None:
    code = """
(Path(os.environ["METALASSAY_RUN"]) / "request.json").write_text("{")
time.sleep(0.6)
print("ran")
"""
    ended = run([sys.executable, "-c", BEGIN + code])
    assert (ended.code, ended.out) == (0, "ran\n")
    (line,) = ended.err.splitlines()
    assert line.startswith("metalassay: no longer watches this process (")
