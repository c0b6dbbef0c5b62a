"""Threads and processes that a program starts are recorded, or counted as not recorded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from metalassay.mps.preflight import predict, recording, run

PROGRAM = """
import multiprocessing, os, subprocess, sys, threading
import torch
from torch.utils.data import DataLoader


def compute(number):
    return torch.ones(number, device="mps").mode()[0].item()  # line 8


def killed():
    torch.ones(2)
    os._exit(0)


class Thread(threading.Thread):
    def run(self):
        torch.ones(2).kthvalue(1)  # line 18


if __name__ == "__main__":
    torch.backends.cudnn.benchmark = True
    torch.ones(3).logcumsumexp(0)
    for method in ("fork", "spawn"):
        process = multiprocessing.get_context(method).Process(target=compute, args=(3,))
        process.start()
        process.join()
        assert process.exitcode == 0
    lost = multiprocessing.get_context("fork").Process(target=killed)
    lost.start()
    lost.join()
    subprocess.run([sys.executable, "-c", "import torch; torch.ones(3).cummax(0)"], check=True)
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    list(DataLoader([1, 2], num_workers=1))
    Thread().start()  # and is not waited for
"""


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the trace of the program above."""
    script = tmp_path_factory.mktemp("program") / "train.py"
    script.write_text(PROGRAM)
    trace, code = run.trace([sys.executable, str(script)])
    assert (code, trace["ended"]) == (0, "")
    return trace


def lines(trace: Any, operator: str) -> dict[int, int]:
    """Return the calls of an operator by line."""
    return {call["line"]: call["count"] for call in trace["calls"] if call["path"][-1] == operator}


@pytest.mark.slow
def test_forked_spawned_and_other_python_processes_are_recorded(trace: Any) -> None:
    modes = [call for call in trace["calls"] if call["path"][-1] == "mode"]
    assert [(call["line"], call["count"]) for call in modes] == [(8, 1), (8, 1)]
    assert len({call["file"] for call in modes}) == 1
    assert any(call["path"][-1].startswith("_cummax") for call in trace["calls"])
    # Nor is a process without torch, or a worker of the DataLoader, among them.
    assert trace["processes"] == 3


@pytest.mark.slow
def test_what_a_process_did_before_a_fork_is_counted_once(trace: Any) -> None:
    called = [call for call in trace["calls"] if "logcumsumexp" in call["path"][0]]
    assert {call["count"] for call in called} == {1}
    assert len({tuple(call["path"]) for call in called}) == len(called) > 0


@pytest.mark.slow
def test_a_process_that_ends_without_python_s_end_is_counted_as_lost(trace: Any) -> None:
    assert trace["lost"] == 1


@pytest.mark.slow
def test_a_thread_is_recorded_to_its_end(trace: Any) -> None:
    assert trace["threads"] == 1
    assert lines(trace, "kthvalue.values") or lines(trace, "kthvalue") == {18: 1}


@pytest.mark.slow
def test_a_program_that_names_mps_gets_the_cpu_and_is_told_so(trace: Any) -> None:
    assert trace["replaced"] == 2
    assert [entry["id"] for entry in trace["ported"]] == ["cudnn-benchmark"]


def test_a_file_is_written_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "part-1.json"
    with pytest.raises(TypeError):
        recording.write_json(str(target), {"a": object()})
    assert not target.exists()


def test_a_process_that_outlives_preflight_is_left_alone(tmp_path: Path) -> None:
    recording.follow(str(tmp_path))  # its settings are gone
    assert list(tmp_path.iterdir()) == []


def test_traces_of_processes_are_put_together() -> None:
    one = {"calls": [1], "ported": [], "replaced": 1, "threads": 2, "processes": 0, "lost": 0}
    both = predict.together(one, [{**one, "calls": [2]}], 1)
    assert (both["calls"], both["replaced"], both["threads"]) == ([1, 2], 2, 4)
    assert (both["processes"], both["lost"]) == (1, 1)
