"""RLHF on this machine beside the minutes that guide 003 publishes: steps per second, and what would fit into them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from metalassay.claims import rlhf_times
from metalassay.claims.rlhf_times import Example, RlhfTimes
from metalassay.machine import chips
from metalassay.machine.chips import Chip
from metalassay.report import statistics
from metalassay.report.model import NO_VALUE, NOT_MEASURED, Section, Table, significant
from metalassay.results.parse import Measurement

PREFIX = "rlhf-"
"""Of the workloads that are RLHF."""


def section(shown: Sequence[Measurement]) -> Section | None:
    """Return the section with both tables of the guide, None where no RLHF was measured."""
    measured = [one for one in shown if one.workload.startswith(PREFIX)]
    if not measured:
        return None
    published = rlhf_times.load()
    return Section(
        id="rlhf",
        title="RLHF, beside what a guide says",
        sentences=(
            f"The minutes are published by guide {published.guide} for an {published.on}, and were not measured here or"
            " by us. The guide names neither the model nor the data, so they are no comparison: ours are models of"
            " some thousand parameters. What can be said is how many of our steps would fit into its minutes.",
        ),
        tables=(_examples(published, measured), _chips(published)),
    )


def _examples(published: RlhfTimes, measured: Iterable[Measurement]) -> Table:
    return Table(
        caption="Minutes that were published, and steps that were measured",
        head=(
            "training",
            f"{published.on}, published, not measured here",
            "steps/s that it implies",
            "on",
            "steps/s measured here",
            "tokens/s measured here",
            "steps of ours in those minutes",
        ),
        rows=tuple(_rows(published.examples, list(measured))),
        numeric=(False, True, True, False, True, True, True),
        notes=tuple(
            f"{each.name}: at least {each.steps} steps in {each.minutes:g} minutes, start and evaluation included"
            f" ({each.says})."
            for each in published.examples
            if each.steps is not None
        ),
    )


def _rows(examples: Sequence[Example], measured: list[Measurement]) -> Iterator[tuple[str, ...]]:
    by_workload: dict[str, list[Measurement]] = {}
    for one in measured:
        by_workload.setdefault(one.workload, []).append(one)
    for example in examples:
        about = f"about {example.minutes:g} min (line {example.lines})"
        bound = NO_VALUE if example.least_rate is None else f"≥ {significant(example.least_rate)}"
        rows = by_workload.pop(example.workload, [])
        for one in rows:
            steps, tokens = _rates(one)
            fitting = f"{60 * example.minutes * steps:,.0f}"
            rates = (significant(steps), significant(tokens), fitting)
            yield (example.name, about, bound, one.device, *rates)
        if not rows:
            yield (example.name, about, bound, NO_VALUE, *[NOT_MEASURED] * 3)
    for workload, rows in by_workload.items():
        for one in rows:
            steps, tokens = _rates(one)
            name = workload.removeprefix(PREFIX)
            yield (
                name,
                "not named",
                NO_VALUE,
                one.device,
                significant(steps),
                significant(tokens),
                NO_VALUE,
            )


def _rates(one: Measurement) -> tuple[float, float]:
    """Return the median steps and tokens per second; a call is a step."""
    tokens = statistics.throughput(one.seconds, one.items_per_call).median
    return tokens / one.items_per_call, tokens


def _chips(published: RlhfTimes) -> Table:
    first = published.chips[0]
    return Table(
        caption="Relative speeds that were published, and what the chips allow",
        head=(
            "chip",
            "relative speed, published, not measured here",
            f"bound: at most times the {first.name}",
            "batch, published",
        ),
        rows=tuple(
            (each.name, f"{each.rockets} of 3", _bound(first.name, each.name), f"{each.batch}")
            for each in published.chips
        ),
        numeric=(False, True, True, True),
        notes=(
            "Bound: the larger of the ratios of memory bandwidth and of the GPU's arithmetic in float32, of the largest"
            " variant to the smallest; work that is limited by neither (launching small operations) has a smaller one."
            " The published symbols have no unit.",
        ),
    )


def _bound(first: str, other: str) -> str:
    """Return the largest ratio of two chips' limits, a dash where a limit is not known."""
    if first == other:
        return "1"
    ratios = []
    for limit in (_bandwidth, _arithmetic):
        below = [value for chip in chips.load() if chip.name == first if (value := limit(chip))]
        above = [value for chip in chips.load() if chip.name == other if (value := limit(chip))]
        if below and above:
            ratios.append(max(above) / min(below))
    return significant(max(ratios)) if ratios else NO_VALUE


def _bandwidth(chip: Chip) -> float | None:
    return chip.memory_bandwidth.value if chip.memory_bandwidth else None


def _arithmetic(chip: Chip) -> float | None:
    return chip.fp32_tflops.value if chip.fp32_tflops else None
