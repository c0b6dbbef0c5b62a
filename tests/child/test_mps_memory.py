"""The MPS allocator is read only where MPS is used, and its cache emptied by the thread that steps."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from child_run import run

from metalassay.child import steps
from metalassay.child.mps_memory import MpsMemory, live_tensors
from metalassay.child.run import Run
from metalassay.supervise import protocol

GB = 10**9


class Untouched:
    """MPS functions that no test below may call."""

    def __getattr__(self, name: str) -> Any:
        pytest.fail(f"torch.mps.{name} was called, which would initialise MPS")


class FakeTensor:
    def __init__(self, device: str) -> None:
        self.device = SimpleNamespace(type=device)


def memory(tmp_path: Path, has_mps: bool = True, mps: Any = None) -> MpsMemory:
    fake: Any = SimpleNamespace(
        _C=SimpleNamespace(_has_mps=has_mps), Tensor=FakeTensor, mps=mps or Untouched()
    )
    return MpsMemory(fake, Run(tmp_path, protocol.Config()))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(steps, "optimizer_device", lambda: None)
    return now


def test_without_a_tensor_on_mps_the_allocator_is_not_asked(
    tmp_path: Path, clock: list[float]
) -> None:
    on_cpu, read = FakeTensor("cpu"), memory(tmp_path)
    for _ in range(100):
        clock[0] += 10
        read.report()
        read.empty_cache_after_next_step()
    assert not read.is_used()
    assert on_cpu


def test_a_build_without_mps_is_not_even_searched(
    tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_mps, read = FakeTensor("mps"), memory(tmp_path, has_mps=False)
    clock[0] += 1000
    assert not read.is_used()
    assert on_mps


def test_a_live_tensor_on_mps_is_found_by_a_search_that_grows_rarer(
    tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []
    read = memory(tmp_path)
    real = __import__("gc").get_objects
    monkeypatch.setattr("gc.get_objects", lambda: (searches.append(clock[0]), real())[1])  # type: ignore[func-returns-value]
    for _ in range(200):
        assert not read.is_used()
        clock[0] += 1
    assert searches == [110.0, 130.0, 170.0, 250.0]
    on_mps = FakeTensor("mps")
    clock[0] += 1000
    assert read.is_used()
    del on_mps
    assert read.is_used(), "it is still initialised"


def test_an_optimizer_on_mps_is_enough(
    tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "optimizer_device", lambda: "mps")
    assert memory(tmp_path).is_used()


PROGRAM = """
import os, sys, threading, time
from pathlib import Path
from metalassay.errors import UserError
from metalassay.mps.emulator import emulate_mps
from metalassay.supervise.protocol import Request, write_request
import torch
GB = 10**9
cached = {"driver": 12 * GB}
torch.mps.driver_allocated_memory = lambda: cached["driver"]
torch.mps.current_allocated_memory = lambda: 2 * GB
torch.mps.recommended_max_memory = lambda: 16 * GB
def empty_cache():
    print("emptied in", threading.current_thread().name)
    cached["driver"] = 3 * GB
    FAILURE
torch.mps.empty_cache = empty_cache
def ask(number, want):
    write_request(Path(os.environ["METALASSAY_RUN"]), Request(number, want))
kept = []
def train():
    model = torch.nn.Linear(4, 1).to("mps")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for step in range(40):
        optimizer.zero_grad()
        loss = model(torch.ones(2, 4, device="mps")).pow(2).mean()
        loss.backward()
        optimizer.step()
        kept.append(loss + 0)
        time.sleep(0.05)
        if step in (15, 22, 35):
            ask(step, "empty cache" if step == 15 else "census")
try:
    with emulate_mps():
        train()
except UserError as error:
    print(error)
    sys.exit(77)
"""


def emulated(failure: str) -> Any:
    pytest.importorskip("torch")
    ended = run([sys.executable, "-c", PROGRAM.replace("FAILURE", failure)])
    if ended.code == 77:
        pytest.skip(f"mps cannot be emulated: {ended.out.strip()}")
    assert ended.code == 0, ended.err
    return ended


@pytest.mark.slow
def test_a_training_on_an_emulated_mps_is_read_counted_and_its_cache_emptied() -> None:
    ended = emulated("")
    readings = ended.of("memory")
    assert {each["recommended"] for each in readings} == {16 * GB}
    assert {each["current"] for each in readings} == {2 * GB}
    assert [readings[0]["driver"], readings[-1]["driver"]] == [12 * GB, 3 * GB]
    assert readings[-1]["steps"] > readings[0]["steps"] > 0
    assert ended.out == "emptied in MainThread\n"
    (emptied,) = ended.of("emptied")
    assert (emptied["driver_before"], emptied["driver_after"]) == (12 * GB, 3 * GB)
    assert 0 < emptied["seconds"] < 10
    first, second = ended.of("census")
    assert first["grown"] == []
    (grown,) = second["grown"]
    assert grown.endswith(
        " more tensors [] float32 on mps:0 made by AddBackward0, held by list `kept` in the program"
    )
    assert 10 <= int(grown.split()[0]) <= 16


@pytest.mark.slow
def test_a_cache_that_cannot_be_emptied_is_one_line_and_the_training_goes_on() -> None:
    ended = emulated("raise RuntimeError('no cache')")
    assert ended.of("emptied") == []
    assert ended.of("steps")[-1]["steps"] == 40
    assert "metalassay: an error of metalassay, not of the program: RuntimeError: no cache" in (
        ended.err.splitlines()
    )


def test_a_thread_that_looks_for_tensors_breaks_no_tuple_that_is_being_made() -> None:
    torch = ModuleType("torch")
    torch.Tensor = type("Tensor", (list,), {})  # type: ignore[attr-defined]
    kept = torch.Tensor()
    many: list[list[int]] = [
        [] for _ in range(300_000)
    ]  # so that a search takes several turns of threads
    found: list[int] = []
    ends = threading.Event()

    def look() -> None:
        while not ends.is_set():
            found.append(sum(each is kept for each in live_tensors(torch)))

    def slowly() -> Iterator[int]:
        for number in range(12):
            time.sleep(0.0001)  # another thread may run
            yield number

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(10):
            assert len(tuple(slowly())) == 12  # SystemError: bad argument to internal function
    finally:
        ends.set()
        looking.join()
    assert set(found) == {1}
    assert many


def test_a_search_runs_nothing_of_the_program() -> None:
    """Audit hooks, hashes of types and the classes of proxies are Python, where other threads have their turn."""
    script = """
import sys
from types import ModuleType
from metalassay.child.mps_memory import live_tensors

torch = ModuleType("torch")
torch.Tensor = type("Tensor", (list,), {})

class Kind(type):
    def __hash__(self):
        called.append("hash")
        return 1
    def __eq__(self, other):
        called.append("eq")
        return self is other
    def __subclasscheck__(self, other):
        called.append("subclasscheck")
        return True

class Sub(torch.Tensor, metaclass=Kind):
    pass

class Proxy(list):
    @property
    def __class__(self):
        called.append("class")
        return torch.Tensor

called = []
kept = [torch.Tensor(), Sub(), Proxy()]
sys.addaudithook(lambda event, arguments: called.append(event))
found = live_tensors(torch)
during = list(called)
assert [each is one for each, one in zip(sorted(found, key=id), sorted(kept[:2], key=id))] == [True] * 2
print(len(found), during)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("2 ['gc.get_objects']\n", "")


def test_a_search_keeps_no_object() -> None:
    torch = ModuleType("torch")
    torch.Tensor = type("Tensor", (list,), {})  # type: ignore[attr-defined]
    kept, one = torch.Tensor(), [1]
    before = sys.getrefcount(one)
    for _ in range(3):
        assert [each is kept for each in live_tensors(torch)] == [True]
        assert sys.getrefcount(one) == before  # the list of all objects had it
