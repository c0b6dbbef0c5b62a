"""The answers of `metalassay ask` about the user's own models as a section, with where their steps stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from metalassay.machine.hardware import Hardware
from metalassay.report.machines import identity, names
from metalassay.report.model import (
    Plot,
    Point,
    Roofline,
    Section,
    Series,
    Table,
    counted,
    significant,
)
from metalassay.results.ask_file import TITLES, Asked

MOST = 20
"""Models that are shown, the newest first."""


def newest(every: Sequence[Asked]) -> list[Asked]:
    """Return the newest answers of each model on each device of each machine, the newest first."""
    kept: dict[tuple[object, ...], Asked] = {}
    for one in sorted(every, key=lambda each: each.when, reverse=True):
        kept.setdefault((one.model, one.device, identity(one.machine)), one)
    return list(kept.values())


def summary(every: Sequence[Asked]) -> str:
    """Return what was asked about, in a few words; "" for nothing."""
    shown = newest(every)
    if not shown:
        return ""
    told = [f"{one.model} on {_device(one)}" for one in shown[:2]]
    told += [f"{len(shown) - 2} more"] if shown[2:] else []
    wrong = sum(one.right is False for one in shown)
    verdict = f"; {wrong} of them computed wrongly" if wrong else ""
    return f"{counted(len(shown), 'model')} of the user's ({' and '.join(told)}){verdict}"


def section(every: Sequence[Asked]) -> Section | None:
    """Return a table of answers for each model, None without one."""
    shown = newest(every)[:MOST]
    if not shown:
        return None
    name_of = names(one.machine for one in shown)
    return Section(
        id="asked",
        title="Your own models",
        sentences=(
            "What metalassay ask said. Times are those of steps in turns in one process; metalassay compare"
            " decides which of two is faster.",
        ),
        plots=tuple(_plots(shown, name_of)),
        tables=tuple(_table(one, name_of[identity(one.machine)]) for one in shown),
        printed=True,
    )


def _device(one: Asked) -> str:
    return f"{one.device} (emulated)" if one.emulated else one.device


def _table(one: Asked, machine: str) -> Table:
    rows = [
        (TITLES[question] if at == 0 else "", line)
        for question, lines in one.answers
        for at, line in enumerate(lines)
    ]
    return Table(
        caption=(
            f"{one.model} on {_device(one)}, {machine}: {one.parameters:,} parameters, batch {one.batch_size},"
            f" torch {one.versions['torch']}, {one.when:%Y-%m-%d}"
        ),
        head=("question", "answer"),
        rows=tuple(rows),
        numeric=(False, False),
        marked=frozenset(
            (at, 1) for at, (_, line) in enumerate(rows) if line.startswith(("WRONG", "MISSING"))
        ),
    )


def _plots(shown: Sequence[Asked], name_of: Mapping[Hardware, str]) -> Iterator[Plot]:
    """Yield a plot for each model whose step was measured beside the peak of its device."""
    for one in shown:
        stand = one.stand
        if stand is None:
            continue
        roofline = Roofline("measured peaks", stand.gflop_s, stand.gb_s)
        share = stand.achieved_gflop_s / roofline.at(stand.intensity)
        label = (
            f"batch {one.batch_size}: {significant(stand.achieved_gflop_s)} GFLOP/s, {share:.2%} of its"
            " roofline"
        )
        point = Point(stand.intensity, stand.achieved_gflop_s, label=label)
        where = name_of[identity(one.machine)]
        yield Plot(
            title=f"How close does {one.model} come to its roofline on {one.device}, {where}?",
            x_label="arithmetic intensity, FLOP/byte",
            y_label="GFLOP/s",
            series=(Series("a training step", (point,), line=False),),
            x_log=True,
            y_log=True,
            rooflines=(roofline,),
            note="FLOP over the bytes that a step has to move; peaks measured just before and after.",
        )
