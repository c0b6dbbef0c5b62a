"""When memory runs out, and whose fault it is: each rule on both sides of its bounds."""

from __future__ import annotations

import pytest

from metalassay.supervise import memory_limit
from metalassay.supervise.memory_limit import Mps
from metalassay.supervise.program_memory import Room

MIB, GIB = 2**20, 2**30


def mac(left: float, total: int = 24) -> Room:
    return Room(total * GIB, int(left * GIB), f"this machine's {total} GiB")


def test_a_program_that_holds_nearly_everything_has_to_stop() -> None:
    assert memory_limit.due(mac(0.5), 20 * GIB) == (
        "memory runs out: 512 MiB is left of this machine's 24 GiB, and it holds 20 GiB"
    )


@pytest.mark.parametrize(
    ("room", "program", "stops"),
    [
        (mac(0.95), 12 * GIB, True),
        (mac(0.97), 12 * GIB, False),  # 4 % of 24 GiB are 0.96
        (mac(0.95), 11 * GIB, False),  # others hold more
        (mac(0.99, 192), 150 * GIB, True),
        (mac(1.01, 192), 150 * GIB, False),  # 4 % would be 7.7 GiB
        (mac(12), 12 * GIB, False),
        (Room(512 * MIB, 20 * MIB, "its limit"), 480 * MIB, True),
        (Room(512 * MIB, 21 * MIB, "its limit"), 480 * MIB, False),
        (mac(0), 0, False),
    ],
)
def test_little_is_left_and_the_program_holds_it(room: Room, program: int, stops: bool) -> None:
    assert (memory_limit.due(room, program) is not None) == stops


def test_a_limit_that_a_person_sets_counts_alone() -> None:
    assert memory_limit.due(mac(20), 3 * GIB, limit=2 * GIB) == (
        "it holds 3 GiB of memory, more than the 2 GiB that you allow"
    )
    assert memory_limit.due(mac(20), 2 * GIB, limit=2 * GIB) is None
    assert memory_limit.due(mac(0.5), 20 * GIB, limit=22 * GIB) is not None


@pytest.mark.parametrize(
    ("driver", "current", "ratio", "says"),
    [
        # 24 GiB, of which 16 are recommended; by default torch allows 27.2.
        (21.7, 21.0, 1.7, "it holds 21.7 GiB of this machine's 24 GiB"),
        (21.5, 21.0, 1.7, None),
        (21.7, 21.0, 0.0, "it holds 21.7 GiB of this machine's 24 GiB"),
        (21.7, 17.0, 1.7, None),  # 4.7 GiB are a cache
        (10.7, 10.0, 0.7, "it holds 10.7 GiB of the 11.2 GiB that torch allows (0.7 times the"),
        (10.6, 10.0, 0.7, None),
        (10.7, 8.0, 0.7, None),  # torch empties its cache when it gets there
        (26.0, 25.0, 1.7, "of the 27.2 GiB that torch allows (1.7 times the recommended 16 GiB)"),
    ],
)
def test_mps_memory_that_tensors_hold(
    driver: float, current: float, ratio: float, says: str | None
) -> None:
    mps = Mps(int(driver * GIB), int(current * GIB), 16 * GIB)
    found = memory_limit.due(mac(2), 22 * GIB, mps=mps, high_watermark=ratio)
    if says is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith("MPS memory runs out: ")
        assert says in found


@pytest.mark.parametrize(
    ("value", "ratio"),
    [(None, 1.7), ("0.7", 0.7), ("0.0", 0.0), ("2", 2.0), ("3", 1.7), ("-1", 1.7), ("nan", 1.7)],
)
def test_the_ratio_of_a_programs_environment(value: str | None, ratio: float) -> None:
    environment = {} if value is None else {"PYTORCH_MPS_HIGH_WATERMARK_RATIO": value}
    assert memory_limit.high_watermark(environment) == ratio


def test_a_ratio_that_is_no_number_is_the_default() -> None:
    assert memory_limit.high_watermark({"PYTORCH_MPS_HIGH_WATERMARK_RATIO": "all"}) == 1.7
