"""Find out from a series of readings whether a program's memory grows without end, and what kind it is.

It looks at floors, the lowest reading of each of many short stretches of time: an evaluation that takes
memory and gives it back leaves them where they were, a leak raises them. Their slope is the median over all
pairs (Theil-Sen), which a third of outliers cannot move.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from metalassay.supervise.program_memory import size

WARM_UP = 120.0
"""Seconds after the first step (without steps: after the first reading) that do not count: allocators fill
their pools, kernels are compiled, workers start."""
WARM_UP_STEPS = 10
"""Steps that do not count either, where steps are slow: the optimizer makes its state in the first one."""
LONGEST = 1800.0
"""Seconds that are looked back: long enough for noise, short enough to see that a growth has ended."""
SHORTEST = 600.0
"""Seconds of growth without which nothing is said: filling a cache or longer sequences take minutes too."""
FLOORS = 24
"""Stretches into which the time is divided; with readings every 5 s the shortest has 5 of them."""
FEWEST = 16
"""Floors without which nothing is said. The order of 16 random ones is as one-sided as ``RISING`` demands
once in about 10,000 times (Kendall's tau 0.7, standard deviation 0.19)."""
RISING = 0.85
"""The share of pairs of floors of which the later is higher. One jump, to any level, reaches 0.75 at most."""
SMALLEST = 128 * 2**20
"""Bytes of growth that are worth a word: at this much in half an hour a day takes 6 GiB."""
SMALLEST_SHARE = 0.02
"""The same as a share of what the program holds."""
NOISE = 10.0
"""How many standard deviations of the floors around the line the growth has to be. Three levels, as of an evaluation
and then longer sequences, are 7 from the best line through them."""
RECENT = 0.5
"""The least slope of the last third, as a share of the whole slope: a growth that levels off is no leak."""
FLAT = 0.2
"""What counts as flat beside something that grows: at most this share of its growth."""
HORIZON = 7 * 86400.0
"""Seconds; a growth that needs longer to reach the limit is not worth a word."""
TAKEN = 2**30
"""Bytes that other programs must have taken, and at least half of what was available, to be named."""
HIGH_WATERMARK = 1.7
"""torch's default limit of MPS memory, as a multiple of the recommended size: PYTORCH_MPS_HIGH_WATERMARK_RATIO in
https://docs.pytorch.org/docs/stable/mps_environment_variables.html."""


@dataclass(frozen=True)
class Sample:
    """One reading, at ``t`` seconds; memory in bytes.

    ``program`` is what the program holds, ``available`` what is left of its room. ``step`` is the number of
    optimizer steps, None if nobody counts them; ``driver``, ``current`` and ``recommended`` are torch's
    numbers for MPS, None without it.
    """

    t: float
    program: int
    available: int
    step: int | None = None
    driver: int | None = None
    current: int | None = None
    recommended: int | None = None


@dataclass(frozen=True)
class Finding:
    """What grows: ``kind`` is "leak", "cache growth", or "pressure by others".

    ``rate`` is in bytes per ``unit`` ("step" or "minute"), over the last ``seconds``, in which it went from
    ``start`` to ``end`` bytes; for "pressure by others" these are of the available memory, and the rate is
    negative. ``left`` is in how many seconds the limit is reached at this rate. ``says`` is a sentence.
    """

    kind: str
    rate: float
    unit: str
    seconds: float
    start: int
    end: int
    left: float
    says: str


@dataclass(frozen=True)
class _Line:
    rate: float
    unit: str
    seconds: float
    start: int
    end: int
    per_second: float

    @property
    def growth(self) -> float:
        return self.per_second * self.seconds


def find(samples: Sequence[Sample], high_watermark: float = HIGH_WATERMARK) -> Finding | None:
    """Return what is wrong with a program's memory, None if nothing is, or too little is known.

    ``samples`` are in order of time, as many as there are: what was reached before tells a leak from
    a sawtooth. ``high_watermark`` is the ratio of torch's MPS limit, 0 for none.
    """
    run = _since_restart(samples)
    grown = _growth(_after_warm_up(run), high_watermark)
    return grown or _pressure(run)


def _since_restart(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Return the samples since the steps, or the time, were last set back."""
    first = 0
    step: int | None = None
    for index, sample in enumerate(samples):
        if (index and sample.t < samples[index - 1].t) or (
            step is not None and sample.step is not None and sample.step < step
        ):
            first = index
        step = sample.step if sample.step is not None else step
    return samples[first:]


def _after_warm_up(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Return the samples after the warm-up; none before the first step, if steps are counted."""
    counted = [sample for sample in samples if sample.step is not None]
    if not counted:
        return [sample for sample in samples if sample.t >= samples[0].t + WARM_UP]
    stepped = [sample for sample in counted if sample.step]
    if not stepped:
        return []
    first = stepped[0]
    return [
        sample
        for sample in stepped
        if sample.t >= first.t + WARM_UP and _step(sample) >= _step(first) + WARM_UP_STEPS
    ]


def _growth(samples: Sequence[Sample], high_watermark: float) -> Finding | None:
    on_mps = [each for each in samples if each.driver is not None and each.current is not None]
    if on_mps:
        cache, tensors = _line(on_mps, _driver), _line(on_mps, _current)
        if cache and _rise(on_mps, _current, cache.seconds) < FLAT * cache.growth:
            says = (
                f"torch's cache of MPS memory grows: {_by(cache)} (driver {_from_to(cache)}, tensors"
                f" {size(_current(on_mps[-1]))}); torch.mps.empty_cache() gives it back"
            )
            return _finding("cache growth", cache, on_mps[-1], high_watermark, says)
        if tensors:
            says = f"memory leaks: {_by(tensors)} (tensors on mps {_from_to(tensors)})"
            return _finding("leak", tensors, on_mps[-1], high_watermark, says)
        if cache:  # tensors rise as well, but too unevenly to be called a leak
            return None
    program = _line(samples, _program)
    if program is None:
        return None
    what = "outside of torch's MPS memory, " if on_mps else ""
    says = f"memory leaks: {_by(program)} ({what}{_from_to(program)})"
    return _finding("leak", program, samples[-1], 0, says)


def _finding(
    kind: str, line: _Line, last: Sample, high_watermark: float, says: str
) -> Finding | None:
    room = last.available
    if high_watermark and last.recommended and last.driver is not None:
        room = min(room, int(high_watermark * last.recommended) - last.driver)
    left = max(room, 0) / line.per_second
    if left > HORIZON:
        return None
    says += f"; at this rate the limit is reached in about {duration(left)}"
    return Finding(
        kind, line.rate, line.unit, line.seconds, line.start, line.end, round(left, 1), says
    )


def _line(samples: Sequence[Sample], value: Callable[[Sample], int]) -> _Line | None:
    """Return the line along which a value grows, None if it does not, or not surely."""
    if not samples or samples[-1].t - samples[0].t < SHORTEST:
        return None
    recent = _recent(samples, LONGEST)
    width = (recent[-1].t - recent[0].t) / FLOORS
    floors = _floors(recent, value, width)
    if len(floors) < FEWEST:
        return None
    seconds = floors[-1].t - floors[0].t
    # A step that takes very long, or an evaluation at the end, leaves too few steps to divide by.
    by_step = floors[0].step is not None and len({each.step for each in floors}) >= FEWEST
    place = _step if by_step else _time
    slope, rising = _theil_sen(floors, place, value)
    growth = slope * (place(floors[-1]) - place(floors[0]))
    if slope <= 0 or rising < RISING:
        return None
    if growth < max(SMALLEST, SMALLEST_SHARE * value(floors[-1])):
        return None
    if growth < NOISE * _spread([value(each) - slope * place(each) for each in floors]):
        return None
    if _theil_sen(floors[-(len(floors) // 3) :], place, value)[0] < RECENT * slope:
        return None
    # A leak is always higher than ever before; what rises and falls with each epoch has been there. The
    # floor of the stretch in which it fell is low, and that of the one before up to two stretches too low.
    before = _floors([each for each in samples if each.t < recent[0].t], value, width)
    if before and max(map(value, floors[-3:])) <= max(map(value, before)) + growth * 3 / FLOORS:
        return None
    return _Line(
        rate=slope if by_step else slope * 60,
        unit="step" if by_step else "minute",
        seconds=seconds,
        start=value(floors[0]),
        end=value(floors[-1]),
        per_second=growth / seconds,
    )


def _recent(samples: Sequence[Sample], seconds: float) -> list[Sample]:
    return [each for each in samples if each.t >= samples[-1].t - seconds]


def _floors(
    samples: Sequence[Sample], value: Callable[[Sample], int], width: float
) -> list[Sample]:
    """Return the sample with the lowest value of each stretch of ``width`` seconds."""
    if not samples:
        return []
    first, last = samples[0].t, int((samples[-1].t - samples[0].t) / width)
    stretches = itertools.groupby(
        samples, lambda each: min(int((each.t - first) / width), max(last - 1, 0))
    )
    return [min(each, key=value) for _, each in stretches]


def _theil_sen(
    samples: Sequence[Sample], place: Callable[[Sample], float], value: Callable[[Sample], int]
) -> tuple[float, float]:
    """Return the median slope over all pairs, and the share of them that rise; (0, 0) without pairs."""
    slopes = [
        (value(b) - value(a)) / (place(b) - place(a))
        for a, b in itertools.combinations(samples, 2)
        if place(b) > place(a)
    ]
    if not slopes:
        return 0.0, 0.0
    return statistics.median(slopes), sum(each > 0 for each in slopes) / len(slopes)


def _spread(values: Sequence[float]) -> float:
    """Return the standard deviation, from the median of the deviations, which outliers do not move."""
    middle = statistics.median(values)
    return 1.4826 * statistics.median([abs(each - middle) for each in values])


def _rise(samples: Sequence[Sample], value: Callable[[Sample], int], seconds: float) -> float:
    """Return by how much a value has grown in the last ``seconds``, from third to third."""
    first, last = _ends(_recent(samples, seconds), value)
    return last - first


def _ends(samples: Sequence[Sample], value: Callable[[Sample], int]) -> tuple[float, float]:
    """Return the medians of the first and of the last third."""
    third = max(len(samples) // 3, 1)
    values = [value(each) for each in samples]
    return statistics.median(values[:third]), statistics.median(values[-third:])


def _pressure(samples: Sequence[Sample]) -> Finding | None:
    """Return whether others took most of the memory that was available, while the program took none."""
    if not samples or samples[-1].t - samples[0].t < SHORTEST:
        return None
    recent = _recent(samples, LONGEST)
    if len(recent) < FEWEST:
        return None
    before, now = _ends(recent, _available)
    taken = before - now
    held, holds = _ends(recent, _program)
    if taken < max(TAKEN, before / 2) or holds - held > FLAT * taken:
        return None
    seconds = recent[-1].t - recent[0].t
    apart = seconds * 2 / 3  # from the middle of the first third to that of the last
    says = (
        f"other programs take memory: {size(taken)} less is available than {duration(apart)} ago,"
        f" {size(now)} is left, while this program holds {size(holds)} as before"
    )
    return Finding(
        kind="pressure by others",
        rate=-taken / apart * 60,
        unit="minute",
        seconds=seconds,
        start=int(before),
        end=int(now),
        left=round(now / (taken / apart), 1),
        says=says,
    )


def _by(line: _Line) -> str:
    rate = f"{line.rate / 2**20:.1f} MiB" if 2**20 <= line.rate < 10 * 2**20 else size(line.rate)
    return f"{rate} more per {line.unit} for {duration(line.seconds)}"


def _from_to(line: _Line) -> str:
    return f"from {size(line.start)} to {size(line.end)}"


def duration(seconds: float) -> str:
    """Return a time as people say it, without more digits than it deserves: "40 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 2 * 86400:
        return f"{seconds / 3600:.1f}".removesuffix(".0") + " h"
    return f"{seconds / 86400:.0f} days"


def _time(sample: Sample) -> float:
    return sample.t


def _step(sample: Sample) -> int:
    return sample.step or 0


def _program(sample: Sample) -> int:
    return sample.program


def _available(sample: Sample) -> int:
    return sample.available


def _driver(sample: Sample) -> int:
    return sample.driver or 0


def _current(sample: Sample) -> int:
    return sample.current or 0
