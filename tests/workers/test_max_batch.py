"""The search for the largest batch, on machines that are made up; and how a try is judged."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalassay.cli.main import main
from metalassay.errors import UserError
from metalassay.workers import max_batch
from metalassay.workers.max_batch import Found, Try
from metalassay.workers.processes import Processes
from metalassay.workers.specs import Arm, parse


def machine(room: int) -> list[int]:
    """Search on a machine with ``room``; return the batches tried."""
    return [each.batch for each in found(room).tries]


def found(room: int, most: int = 2**20, start: int = 1) -> Found:
    return max_batch.search(lambda batch: Try(batch, batch <= room, None), most=most, start=start)


def test_it_doubles_and_then_bisects() -> None:
    assert machine(11) == [1, 2, 4, 8, 16, 12, 10, 11]


def test_if_not_even_one_sample_fits_the_result_is_0() -> None:
    assert (found(0).largest, found(0).limit) == (0, 1)


def test_if_the_first_try_is_too_large_smaller_ones_follow() -> None:
    assert machine_from(3, 8) == [8, 4, 2, 3]


def machine_from(room: int, start: int) -> list[int]:
    return [each.batch for each in found(room, start=start).tries]


def test_it_stops_at_the_requested_maximum() -> None:
    result = found(10**9, most=100)
    assert (result.largest, result.limit) == (100, None)


@given(st.integers(1, 2**20 - 1))
def test_the_result_fits_and_is_close_to_the_limit(room: int) -> None:
    result = found(room)
    assert result.limit is not None
    assert result.largest <= room < result.limit
    assert result.limit - result.largest <= 1 or result.limit <= 1.05 * result.largest
    assert len(result.tries) <= 45


@pytest.mark.parametrize(
    "message",
    [
        "MPS backend out of memory (MPS allocated: 0 bytes, max allowed: 7.93 GB)",
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory",
        "Invalid buffer size: 24.00 GB",
    ],
)
def test_every_out_of_memory_message_is_recognised(message: str) -> None:
    error = UserError(f"batch 8: RuntimeError: {message}", "")
    assert message.partition(": ")[0] in max_batch.reason(error, pressed=False)


def test_a_killed_process_and_memory_pressure_are_reasons() -> None:
    killed = UserError("batch 8: its process ended", "")
    assert max_batch.reason(killed, pressed=False) == "its process was killed or crashed"
    assert max_batch.reason(killed, pressed=True).startswith("memory pressure: less than 10%")


def test_other_errors_are_raised_again() -> None:
    with pytest.raises(UserError, match="no kernel"):
        max_batch.reason(UserError("batch 8: RuntimeError: no kernel", ""), pressed=False)


def test_a_try_is_killed_under_memory_pressure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(max_batch, "LEFT", 2.0)  # more than there is: pressed at the first look
    tried = max_batch.attempt(parse("transit-cnn:train"), 2)
    assert not tried.fits
    assert tried.why.startswith("memory pressure")


def test_the_command_refuses_functions_and_a_start_above_the_maximum(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["max-batch", "bench.py::step"]) == 2
    assert main(["max-batch", "transit-cnn", "--start", "9", "--most", "8"]) == 2
    assert "needs something whose batch can grow" in capsys.readouterr().err


def test_killing_no_workers_does_nothing(tmp_path: object) -> None:
    with Processes(fresh=True) as processes:
        processes.kill()  # nothing runs: nothing happens
        assert not processes.forks(Arm("A", parse("transit-cnn"), "python"))


@pytest.mark.parametrize(
    ("calm", "level", "left", "short"),
    [
        (True, "normal", 0.5, False),
        (True, "warning", 0.5, True),
        (False, "warning", 0.5, False),  # it was so before the try began
        (False, "critical", 0.5, True),
        (True, None, 0.5, False),
        (True, "normal", 0.05, True),
    ],
)
def test_on_a_mac_the_systems_own_pressure_ends_a_try(
    monkeypatch: pytest.MonkeyPatch, calm: bool, level: str | None, left: float, short: bool
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(max_batch, "pressure", lambda: level)
    memory = SimpleNamespace(available=left * 1000, total=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert max_batch.short_of_memory(calm=calm) is short
    monkeypatch.setattr(sys, "platform", "linux")
    assert max_batch.short_of_memory(calm=calm) is (left < max_batch.LEFT)
