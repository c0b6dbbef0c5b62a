"""Figures that others have published for the chips of a report: context, never our own measurements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from metalassay.machine import published
from metalassay.machine.chips import Chip
from metalassay.machine.published import UNITS, Published
from metalassay.report.model import NO_VALUE, Section, Table

_SENTENCES = (
    "None of these figures was measured by us or with this suite. Others measured them with other programs, "
    "often in a single run; they are listed for comparison with ours.",
)
_ON = {"gpu": "GPU", "cpu": "CPU", "wall": "whole machine, at the wall"}
_NAMES = {
    "bandwidth": "memory bandwidth",
    "arithmetic": "arithmetic",
    "time": "time of an operator",
    "power": "power",
}


def section(chips: Iterable[Chip | None]) -> Section | None:
    """Return the section with a table of published figures, None if there are none for these chips."""
    known = [chip for chip in dict.fromkeys(chips) if chip is not None]
    figures = list(dict.fromkeys(figure for chip in known for figure in published.of(chip)))
    if not figures:
        return None
    return Section(
        id="others",
        title="Published measurements of these chips",
        sentences=_SENTENCES,
        tables=(
            Table(
                caption="Figures published by others, not measured by us",
                head=("chip", "what", "value", "limit of the chip", "with", "how", "source"),
                rows=tuple(_rows(known, figures)),
                numeric=(False, False, True, True, False, False, False),
                notes=(
                    "Limit: the memory bandwidth as published by the maker, and cores times clock for the "
                    "arithmetic of the GPU in float32 (an estimate, within about 15 %).",
                ),
            ),
        ),
    )


def _rows(chips: Sequence[Chip], figures: Sequence[Published]) -> Iterator[tuple[str, ...]]:
    for what, name in _NAMES.items():
        for figure in figures:
            if figure.what == what:
                cores = f", {figure.gpu_cores} GPU cores" if figure.gpu_cores else ""
                dtype = f" in {figure.dtype}" if figure.dtype else ""
                work = "" if what == "time" else f", {figure.work}"
                yield (
                    f"{figure.chip}{cores}",
                    f"{name}{dtype}, {_ON[figure.on]}{work}",
                    figure.text(),
                    _limit(figure, chips),
                    figure.tool,
                    figure.how,
                    figure.source,
                )


def _limit(figure: Published, chips: Sequence[Chip]) -> str:
    """Return the limit of the chip that applies to a figure, a dash without one."""
    for chip in chips:
        if figure not in published.of(chip):
            continue
        if figure.what == "bandwidth" and chip.memory_bandwidth:
            return f"{chip.memory_bandwidth.value:g} {UNITS['bandwidth']}"
        if (figure.what, figure.on, figure.dtype) == ("arithmetic", "gpu", "float32"):
            return f"{chip.fp32_tflops.value:g} TFLOP/s" if chip.fp32_tflops else NO_VALUE
    return NO_VALUE
