"""The search for the largest batch, on machines that are made up; and how a try is judged."""

from __future__ import annotations

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


def test_where_not_even_one_fits_the_answer_is_0() -> None:
    assert (found(0).largest, found(0).limit) == (0, 1)


def test_where_the_first_try_is_too_large_it_goes_down() -> None:
    assert machine_from(3, 8) == [8, 4, 2, 3]


def machine_from(room: int, start: int) -> list[int]:
    return [each.batch for each in found(room, start=start).tries]


def test_it_stops_at_the_most_that_was_asked_for() -> None:
    result = found(10**9, most=100)
    assert (result.largest, result.limit) == (100, None)


@given(st.integers(1, 2**20 - 1))
def test_the_answer_fits_and_is_close_to_what_does_not(room: int) -> None:
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
def test_every_way_to_say_out_of_memory_is_understood(message: str) -> None:
    error = UserError(f"batch 8: RuntimeError: {message}", "")
    assert message.partition(": ")[0] in max_batch.reason(error, pressed=False)


def test_a_killed_process_and_pressure_are_survived() -> None:
    killed = UserError("batch 8: its process ended", "")
    assert max_batch.reason(killed, pressed=False) == "its process was killed or crashed"
    assert max_batch.reason(killed, pressed=True).startswith("memory pressure: less than 10%")


def test_another_error_is_no_lack_of_memory() -> None:
    with pytest.raises(UserError, match="no kernel"):
        max_batch.reason(UserError("batch 8: RuntimeError: no kernel", ""), pressed=False)


def test_under_memory_pressure_a_try_is_ended_from_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(max_batch, "LEFT", 2.0)  # more than there is: pressed at the first look
    tried = max_batch.attempt(parse("transit-cnn:train"), 2)
    assert not tried.fits
    assert tried.why.startswith("memory pressure")


def test_the_command_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["max-batch", "bench.py::step"]) == 2
    assert main(["max-batch", "transit-cnn", "--start", "9", "--most", "8"]) == 2
    assert "needs one of our workloads" in capsys.readouterr().err


def test_killing_tells_whoever_waits(tmp_path: object) -> None:
    with Processes(fresh=True) as processes:
        processes.kill()  # nothing runs: nothing happens
        assert not processes.forks(Arm("A", parse("transit-cnn"), "python"))
