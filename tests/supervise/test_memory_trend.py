"""Trends of memory in series made by hand: growth of each kind, and what only looks like it.

Each series is judged after every reading, as the program's watcher does: one false word is one too many.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from metalassay.supervise import memory_trend
from metalassay.supervise.memory_trend import Finding, Sample

MB, GB = 10**6, 10**9
EVERY = 10.0  # seconds between two readings
Shape = Callable[[float], float]  # bytes at a time in minutes


def series(
    minutes: float,
    program: Shape,
    *,
    noise: float = 20 * MB,
    steps: float | None = 1.0,  # per second
    available: Shape = lambda t: 8 * GB,
    driver: Shape | None = None,
    current: Shape | None = None,
    seed: int = 1,
) -> list[Sample]:
    """Read these shapes every ``EVERY`` seconds, with noise on all but the available memory."""
    chance = random.Random(seed)

    def read(shape: Shape | None, t: float) -> int | None:
        return None if shape is None else int(shape(t / 60) + chance.uniform(-noise, noise))

    return [
        Sample(
            t,
            program=int(program(t / 60) + chance.uniform(-noise, noise)),
            available=int(available(t / 60)),
            step=None if steps is None else int(t * steps),
            driver=read(driver, t),
            current=read(current, t),
            recommended=None if driver is None else 16 * GB,
        )
        for t in (EVERY * i for i in range(int(minutes * 60 / EVERY) + 1))
    ]


def at_any_time(samples: list[Sample]) -> list[Finding]:
    """Return the findings after each fourth reading."""
    looks = (memory_trend.find(samples[:count]) for count in range(1, len(samples) + 1, 4))
    return [each for each in looks if each is not None]


def grown(samples: list[Sample]) -> Finding:
    found = memory_trend.find(samples)
    assert found is not None
    return found


def test_a_leak_is_told_with_its_rate_and_the_time_that_is_left() -> None:
    found = grown(series(25, lambda t: 3 * GB + 60 * 12 * MB * t, noise=5 * MB, steps=2))
    assert found.kind == "leak"
    assert found.unit == "step"
    assert found.rate == pytest.approx(6 * MB, rel=0.05)
    assert found.seconds == pytest.approx(23 * 60, rel=0.05)
    assert found.left == pytest.approx(8 * GB / (12 * MB), rel=0.05)
    assert found.says == (
        "memory leaks: 5.7 MiB more per step for 22 min (from 4.2 GiB to 19 GiB); at this rate the limit"
        " is reached in about 11 min"
    )


def test_without_steps_a_leak_is_per_minute() -> None:
    found = grown(series(25, lambda t: GB + 100 * MB * t, steps=None))
    assert (found.kind, found.unit) == ("leak", "minute")
    assert found.rate == pytest.approx(100 * MB, rel=0.05)
    assert "96 MiB more per minute" in found.says


def test_a_slow_leak_is_seen_in_noise() -> None:
    found = grown(series(40, lambda t: 6 * GB + 60 * MB * t, noise=200 * MB))
    assert (found.kind, found.unit) == ("leak", "step")
    assert found.rate == pytest.approx(1 * MB, rel=0.2)


def test_a_leak_beneath_evaluations_is_seen() -> None:
    shape = lambda t: 4 * GB + 60 * MB * t + (2 * GB if t % 5 > 4 else 0)  # noqa: E731
    found = grown(series(40, shape))
    assert found.rate == pytest.approx(1 * MB, rel=0.2)


def test_what_each_evaluation_keeps_is_a_leak() -> None:
    found = grown(series(45, lambda t: 4 * GB + 500 * MB * (t // 4)))
    assert found.kind == "leak"
    assert found.rate == pytest.approx(500 * MB / 240, rel=0.1)


def test_a_leak_is_seen_after_ten_minutes_and_not_before() -> None:
    samples = series(30, lambda t: 3 * GB + 300 * MB * t)
    seen = [s.t for i, s in enumerate(samples) if memory_trend.find(samples[: i + 1])]
    after = memory_trend.WARM_UP + memory_trend.SHORTEST
    assert after <= seen[0] < after + 180
    assert seen == [each.t for each in samples if each.t >= seen[0]]


def test_a_leak_of_tensors_on_mps() -> None:
    samples = series(
        25,
        lambda t: 4 * GB + 100 * MB * t,
        driver=lambda t: 3 * GB + 100 * MB * t,
        current=lambda t: 2 * GB + 100 * MB * t,
    )
    found = grown(samples)
    assert found.kind == "leak"
    assert "tensors on mps from 2" in found.says
    assert found.start == pytest.approx(2.2 * GB, rel=0.05)
    # 1.7 times 16 GB are further away than the 8 GB that the machine has left.
    assert found.left == pytest.approx(8 * GB / (100 * MB) * 60, rel=0.05)
    limited = memory_trend.find(samples, high_watermark=0.4)
    assert limited is not None
    assert limited.left == pytest.approx((6.4 - 5.5) * GB / (100 * MB) * 60, rel=0.1)


def test_a_cache_that_grows_is_no_leak() -> None:
    found = grown(
        series(
            25,
            lambda t: 4 * GB + 100 * MB * t,
            driver=lambda t: 3 * GB + 100 * MB * t,
            current=lambda t: 2 * GB,
        )
    )
    assert found.kind == "cache growth"
    assert "torch.mps.empty_cache()" in found.says
    assert found.start == pytest.approx(3.2 * GB, rel=0.05)


def test_a_cache_beside_tensors_that_grow_unevenly_is_not_called_anything() -> None:
    samples = series(
        40,
        lambda t: 6 * GB + 100 * MB * t,
        driver=lambda t: 5 * GB + 100 * MB * t,
        current=lambda t: 2 * GB + 1200 * MB * ((t > 15) + (t > 27)),
    )
    assert memory_trend.find(samples) is None


def test_a_leak_beside_mps_is_seen_too() -> None:
    found = grown(
        series(
            25, lambda t: 4 * GB + 100 * MB * t, driver=lambda t: 3 * GB, current=lambda t: 2 * GB
        )
    )
    assert found.kind == "leak"
    assert "outside of torch's MPS memory" in found.says


def test_other_programs_that_take_the_memory() -> None:
    samples = series(
        25, lambda t: 4 * GB, available=lambda t: (10 - 0.38 * t) * GB, driver=None, steps=None
    )
    found = grown(samples)
    assert found.kind == "pressure by others"
    assert found.rate == pytest.approx(-380 * MB, rel=0.1)
    assert "while this program holds 3.7 GiB as before" in found.says
    assert found.left == pytest.approx(found.end / (380 * MB) * 60, rel=0.1)


NOTHING: dict[str, list[Sample]] = {
    "constant": series(60, lambda t: 4 * GB, noise=0),
    "nothing at all": [],
    "one reading": series(0, lambda t: 4 * GB),
    "noise": series(60, lambda t: 4 * GB, noise=400 * MB),
    "noise without steps": series(60, lambda t: 4 * GB, noise=400 * MB, steps=None, seed=2),
    "warm-up": series(40, lambda t: 1 * GB + 5 * GB * min(t / 4, 1)),
    "warm-up without steps": series(40, lambda t: 1 * GB + 5 * GB * min(t / 4, 1), steps=None),
    "evaluations": series(60, lambda t: 4 * GB + (2 * GB if t % 10 > 7 else 0)),
    "long evaluations": series(100, lambda t: 4 * GB + (2 * GB if t % 25 > 15 else 0)),
    "an evaluation that begins": series(22, lambda t: 4 * GB + (2 * GB if t > 12 else 0)),
    "longer sequences": series(60, lambda t: 4 * GB + 3 * GB * min(t / 9, 1)),
    "a cache that fills more slowly all the time": series(
        60, lambda t: 4 * GB + 3 * GB * (1 - 2 ** (-t / 2))
    ),
    "two jumps": series(60, lambda t: 4 * GB + GB * ((t > 10) + (t > 20))),
    "it falls": series(40, lambda t: 9 * GB - 100 * MB * t),
    "too little": series(60, lambda t: 4 * GB + 3 * MB * t, noise=2 * MB),
    "too far away": series(
        60, lambda t: 4 * GB + 10 * MB * t, noise=2 * MB, available=lambda t: 400 * GB
    ),
    "before the first step": series(30, lambda t: GB + 300 * MB * t, steps=0),
    "the available memory is what the program takes": series(
        9, lambda t: 4 * GB + GB * min(t, 6), available=lambda t: 8 * GB - GB * min(t, 6)
    ),
    "warm-up of slow steps": series(40, lambda t: GB + 300 * MB * min(t, 14), steps=1 / 60),
    "few readings": series(16, lambda t: GB + 300 * MB * t)[::6],
    "others take less than half": series(
        40, lambda t: 4 * GB, available=lambda t: (20 - t / 8) * GB
    ),
    "others take little": series(
        40, lambda t: 4 * GB, available=lambda t: (0.5 if t < 20 else 0.1) * GB
    ),
    "the program takes it": series(
        40,
        lambda t: (4 if t < 15 else 10) * GB,
        available=lambda t: (8 if t < 15 else 2) * GB,
    ),
    "mps constant": series(
        60, lambda t: 4 * GB, driver=lambda t: 3 * GB, current=lambda t: 2 * GB, noise=100 * MB
    ),
    "mps evaluations": series(
        60,
        lambda t: 6 * GB,
        driver=lambda t: 3 * GB + (2 * GB if t > 12 else 0),
        current=lambda t: 2 * GB + (GB if t % 12 > 9 else 0),
    ),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_only_looks_like_a_trend_is_none_at_any_time(name: str) -> None:
    assert at_any_time(NOTHING[name]) == []


def test_a_sawtooth_of_long_epochs_is_known_after_its_first_fall() -> None:
    samples = series(200, lambda t: 4 * GB + 60 * MB * (t % 45))
    late = [
        found
        for count in range(1, len(samples), 4)
        if samples[count].t > 47 * 60 and (found := memory_trend.find(samples[:count]))
    ]
    assert late == []


def test_a_growth_that_ends_is_taken_back() -> None:
    samples = series(60, lambda t: 4 * GB + 100 * MB * min(t, 25))
    assert memory_trend.find(samples[: 25 * 6])
    assert memory_trend.find(samples[: 40 * 6]) is None


def test_a_restart_begins_anew() -> None:
    leak = series(20, lambda t: 3 * GB + 300 * MB * t)
    last = leak[-1].t
    again = [replace(each, t=each.t + last + 30) for each in leak]
    assert memory_trend.find(leak)
    samples = leak + again
    for count in range(len(leak) + 1, len(leak) + 11 * 6, 3):
        assert memory_trend.find(samples[:count]) is None
    found = grown(samples)
    assert found.rate == pytest.approx(5 * MB, rel=0.05)
    assert grown(leak + leak).rate == found.rate  # if the clock begins anew, too
    uncounted = [replace(each, step=None) for each in leak]
    flat = series(14, lambda t: 9 * GB, steps=None)
    assert memory_trend.find(flat + uncounted) == memory_trend.find(uncounted)


def test_noise_of_any_kind_is_no_leak() -> None:
    for seed in range(60):
        samples = series(35, lambda t: 4 * GB, noise=500 * MB, seed=seed)
        assert at_any_time(samples[:: 2 if seed % 2 else 1]) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (40, "40 s"),
        (2400, "40 min"),
        (12600, "3.5 h"),
        (7200, "2 h"),
        (4 * 86400, "4 days"),
    ],
)
def test_times_as_people_say_them(seconds: float, text: str) -> None:
    assert memory_trend.duration(seconds) == text
