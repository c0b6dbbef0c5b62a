"""RLHF on this machine beside the minutes that guide 003 publishes: steps per second, and what would fit into them.

What was measured is in the ``result.json`` of runs of `metalassay train rlhf`, and in the files of
benchmarks/test_rlhf.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from metalassay.claims import rlhf_times
from metalassay.claims.rlhf_times import Example, RlhfTimes
from metalassay.fields import Field, FieldError, parse_json
from metalassay.machine import chips
from metalassay.machine.chips import Chip
from metalassay.report import machines
from metalassay.report.model import NO_VALUE, NOT_MEASURED, Section, Table, significant
from metalassay.report.sections import benchmarks
from metalassay.results.measurement import Measurement

PREFIX = "rlhf-"
"""Of the guide's examples, before the name of the trainer."""
TRAINERS = ("sft", "reward", "dpo", "ppo", "grpo")


@dataclass(frozen=True)
class RlhfRun:
    """One run: its speed, None after a single step, and the most memory of its process, None where unknown."""

    name: str
    trainer: str
    device: str
    torch: str
    trl: str
    steps: int
    steps_per_second: float | None
    tokens_per_second: float | None
    peak_rss: float | None


def is_run(content: bytes) -> bool:
    """Return whether a file is the result of a run of RLHF, whatever its values are."""
    try:
        document = parse_json(content)
    except FieldError:
        return False
    return isinstance(document, dict) and {"trainer", "steps_per_second"} <= document.keys()


def parse(content: bytes, name: str) -> RlhfRun:
    """Read the result of a run. Raises ``FieldError``, naming the field, for anything else."""
    top = Field(parse_json(content))

    def rate(of: str) -> float | None:
        return top.find(of).or_none(lambda value: value.number(0, 1e12))

    return RlhfRun(
        name=name,
        trainer=top.get("trainer").one_of(TRAINERS),
        device=top.get("device").name(),
        torch=top.get("versions").get("torch").name(),
        trl=top.get("versions").get("trl").name(),
        steps=top.get("steps").whole(),
        steps_per_second=rate("steps_per_second"),
        tokens_per_second=rate("tokens_per_second"),
        peak_rss=top.get("peak_memory")
        .find("peak_rss")
        .or_none(lambda value: value.number(0, 2.0**60)),
    )


def of_benchmarks(
    shown: Iterable[Measurement], find_chip: benchmarks.FindChip
) -> Iterator[RlhfRun]:
    """Yield the benchmarks of RLHF whose figures may be shown; a round is a step."""
    trainings = [each for each in shown if each.workload.startswith(PREFIX)]
    name_of = machines.names((each.machine for each in trainings), frozenset())
    for one in trainings:
        trainer = one.workload.removeprefix(PREFIX)
        if trainer not in TRAINERS or benchmarks.figures(one, find_chip(one.machine)).refused:
            continue
        rate = 1 / statistics.median(one.seconds)
        yield RlhfRun(
            name=f"benchmark, batch {one.batch_size}, {name_of[machines.identity(one.machine)]}",
            trainer=trainer,
            device=one.device,
            torch=one.versions["torch"],
            trl=one.versions.get("trl", "unknown"),
            steps=one.rounds,
            steps_per_second=rate,
            tokens_per_second=None if one.tokens_per_call is None else rate * one.tokens_per_call,
            peak_rss=one.peak_rss,
        )


def section(runs: Sequence[RlhfRun]) -> Section | None:
    """Return the section with both tables of the guide, None without a run."""
    if not runs:
        return None
    published = rlhf_times.load()
    return Section(
        id="rlhf",
        title="RLHF, beside what a guide says",
        sentences=(
            f"The minutes are published by guide {published.guide} for an {published.on}, and were not measured here or"
            " by us. The guide names neither the model nor the data, so they are no comparison: ours are models of"
            " some hundred thousand parameters. What can be said is how many of our steps would fit into its minutes.",
        ),
        tables=(_examples(published, runs), _chips(published)),
    )


def _examples(published: RlhfTimes, runs: Sequence[RlhfRun]) -> Table:
    return Table(
        caption="Minutes that were published, and steps that were measured",
        head=(
            "training",
            f"{published.on.removeprefix('Apple ')}, published, not measured here",
            "implied steps/s",
            "run, measured",
            "steps/s",
            "tokens/s",
            "MiB",
            "our steps in that time",
        ),
        rows=tuple(_rows(published.examples, runs)),
        numeric=(False, True, True, False, True, True, True, True),
        notes=(
            *(
                f"{each.name}: at least {each.steps} steps in {each.minutes:g} minutes, start and evaluation included"
                f" ({each.says})."
                for each in published.examples
                if each.steps is not None
            ),
            "Measured: the mean over the steps of a run but the first, without checkpoints, or the median of the steps"
            " of a benchmark; the most memory of the process, in which other benchmarks may have run before.",
        ),
    )


def _rows(examples: Sequence[Example], runs: Sequence[RlhfRun]) -> Iterator[tuple[str, ...]]:
    left = list(runs)
    for example in examples:
        about = f"about {example.minutes:g} min (line {example.lines})"
        bound = NO_VALUE if example.least_rate is None else f"≥ {significant(example.least_rate)}"
        own = [each for each in left if PREFIX + each.trainer == example.workload]
        left = [each for each in left if each not in own]
        for one in own:
            rate = one.steps_per_second
            fitting = NO_VALUE if rate is None else f"{60 * example.minutes * rate:,.0f}"
            yield (example.name, about, bound, *_measured(one), fitting)
        if not own:
            yield (example.name, about, bound, NO_VALUE, *[NOT_MEASURED] * 4)
    for one in left:
        yield (one.trainer.upper(), "not named", NO_VALUE, *_measured(one), NO_VALUE)


def _measured(one: RlhfRun) -> tuple[str, str, str, str]:
    run = f"{one.name} ({one.device}, torch {one.torch}, TRL {one.trl})"
    rates = (one.steps_per_second, one.tokens_per_second)
    memory = NO_VALUE if one.peak_rss is None else f"{one.peak_rss / 2**20:,.0f}"
    steps, tokens = (NO_VALUE if rate is None else significant(rate) for rate in rates)
    return run, steps, tokens, memory


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
