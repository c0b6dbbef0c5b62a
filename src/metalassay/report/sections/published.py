"""What others have measured on the chips that a report is about: context, and never our measurements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from metalassay.machine import published
from metalassay.machine.chips import Chip
from metalassay.machine.published import UNITS, Published
from metalassay.report.model import NO_VALUE, Section, Table

_SENTENCES = (
    "None of these figures was measured by us or with this suite. They are other people's, with other "
    "programs, often of one run, and stand here so that ours can be held against them.",
)
_ON = {"gpu": "GPU", "cpu": "CPU", "wall": "the whole machine at its plug"}
_NAMES = {
    "bandwidth": "memory bandwidth",
    "arithmetic": "arithmetic",
    "time": "time of an operator",
    "power": "power",
}


def section(chips: Iterable[Chip | None]) -> Section | None:
    """Return a table for the chips, each once; None when nobody published anything of them."""
    known = [chip for chip in dict.fromkeys(chips) if chip is not None]
    figures = list(dict.fromkeys(each for chip in known for each in published.of(chip)))
    if not figures:
        return None
    return Section(
        id="others",
        title="What others have measured on these chips",
        sentences=_SENTENCES,
        tables=(
            Table(
                caption="Figures that others published; not measured by us",
                head=("chip", "what", "value", "limit of the chip", "with", "how", "source"),
                rows=tuple(_rows(known, figures)),
                numeric=(False, False, True, True, False, False, False),
                notes=(
                    "Limit: what the maker publishes for the memory, and cores times clock for the "
                    "arithmetic of the GPU in float32 (an estimate, good to some 15 %).",
                ),
            ),
        ),
    )


def _rows(chips: Sequence[Chip], figures: Sequence[Published]) -> Iterator[tuple[str, ...]]:
    for what, name in _NAMES.items():
        for each in figures:
            if each.what == what:
                cores = f", {each.gpu_cores} GPU cores" if each.gpu_cores else ""
                dtype = f" in {each.dtype}" if each.dtype else ""
                work = "" if what == "time" else f", {each.work}"
                yield (
                    f"{each.chip}{cores}",
                    f"{name}{dtype}, {_ON[each.on]}{work}",
                    each.text(),
                    _limit(each, chips),
                    each.tool,
                    each.how,
                    each.source,
                )


def _limit(figure: Published, chips: Sequence[Chip]) -> str:
    """Return the chip's own limit for what was measured, where there is one that applies."""
    for chip in chips:
        if figure not in published.of(chip):
            continue
        if figure.what == "bandwidth" and chip.memory_bandwidth:
            return f"{chip.memory_bandwidth.value:g} {UNITS['bandwidth']}"
        if (figure.what, figure.on, figure.dtype) == ("arithmetic", "gpu", "float32"):
            return f"{chip.fp32_tflops.value:g} TFLOP/s" if chip.fp32_tflops else NO_VALUE
    return NO_VALUE
