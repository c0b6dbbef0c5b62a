"""Whether measured peaks and watts are plausible, given the chip's limits and published figures.

A figure above the limits of the chip is refused and used for nothing. One that is more than a factor of two
outside the range of what others published for that chip is kept and noted: a machine may be unusual, or busy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from metalassay.machine import published, roofline_model
from metalassay.machine.chips import Chip
from metalassay.machine.published import Published
from metalassay.report.model import Roofline, significant
from metalassay.results.parse import Measurement

FAR = 2.0
"""A figure is far from the published ones if it is this many times above or below all of them."""
# Apple rounds down: 100 GB/s is 102.4, 200 is 204.8 (chips.toml).
_ROUNDED = 1.03
_ON = {"mps": "gpu", "cpu": "cpu"}


@dataclass(frozen=True)
class Doubt:
    """A sentence on why a figure is refused, or else far from published figures."""

    refused: bool
    sentence: str


def doubts(one: Measurement, chip: Chip | None) -> list[Doubt]:
    """Return what is doubtful about the measured peaks and the watts; nothing for an unknown chip."""
    if chip is None or one.emulated:
        return []
    figures = [figure for figure in published.of(chip) if figure.on == _ON.get(one.device)]
    checks: list[Doubt | None] = []
    if one.measured_peak:
        gflop_s, gb_s = one.measured_peak
        checks.append(_bandwidth(gb_s, chip, figures))
        checks.append(_arithmetic(gflop_s, one.device, chip, figures))
    if one.watts is not None:
        checks.append(_power(one.watts, one.watts_from, published.of(chip)))
    return [doubt for doubt in checks if doubt]


def roofline(one: Measurement, chip: Chip | None) -> Roofline | None:
    """Return the peaks that the device reached just before, None where they cannot be used.

    That is without measured peaks, on an emulated device, and where either peak is refused.
    """
    if one.measured_peak is None or one.emulated or min(one.measured_peak) <= 0:
        return None
    gflop_s, gb_s = one.measured_peak
    if chip is not None:
        for doubt in (_bandwidth(gb_s, chip, ()), _arithmetic(gflop_s, one.device, chip, ())):
            if doubt and doubt.refused:
                return None
    return Roofline("measured", gflop_s, gb_s)


def _bandwidth(gb_s: float, chip: Chip, figures: Iterable[Published]) -> Doubt | None:
    limit = chip.memory_bandwidth
    if limit and gb_s > _ROUNDED * limit.value:
        return Doubt(
            True,
            f"refused: a triad at {significant(gb_s)} GB/s, but the memory has {limit.value:g} "
            f"GB/s ({limit.kind})",
        )
    return _far("a triad at", gb_s, "GB/s", [f for f in figures if f.what == "bandwidth"])


def _arithmetic(
    gflop_s: float, device: str, chip: Chip, figures: Iterable[Published]
) -> Doubt | None:
    peak = chip.fp32_tflops
    if roofline_model.impossible(
        gflop_s, device=device, dtype="float32", peak_tflop_s=peak.value if peak else None
    ):
        assert peak is not None  # noqa: S101  (else nothing is impossible)
        return Doubt(
            True,
            f"refused: a matrix product at {significant(gflop_s / 1e3)} TFLOP/s, but the chip has "
            f"{peak.value:g} TFLOP/s in float32 ({peak.kind})",
        )
    alike = [
        figure
        for figure in figures
        if (figure.what, figure.work, figure.dtype) == ("arithmetic", "matrix product", "float32")
    ]
    return _far("a matrix product at", gflop_s / 1e3, "TFLOP/s", alike)


def _power(watts: float, rail: str, figures: Sequence[Published]) -> Doubt | None:
    """Return what is doubtful about watts; low ones are not, as a small workload takes little power."""
    loads = [figure for figure in figures if figure.what == "power" and figure.work == "load"]
    # Only the GPU's rail has published figures; no other takes more than the machine at the wall.
    on = "gpu" if rail.partition(",")[0].strip().lower() == "gpu" else "wall"
    alike = [figure for figure in loads if figure.on == on]
    if not alike or watts <= max(figure.high for figure in alike):
        return None
    return _far(f"power ({rail}) of", watts, "W", alike)


def _far(what: str, value: float, unit: str, figures: Sequence[Published]) -> Doubt | None:
    if not figures or value <= 0:
        return None
    low, high = min(f.low for f in figures), max(f.high for f in figures)
    if low / FAR <= value <= high * FAR:
        return None
    nearest = min(figures, key=lambda figure: figure.low if value < low else -figure.high)
    return Doubt(
        False,
        f"{what} {significant(value)} {unit} is far from the published figure {nearest.text()} "
        f"({nearest.tool}, {nearest.how}; {nearest.source})",
    )
