"""Whether a probe's figures can be true: held against the chip's limits and against others' figures.

Above what the chip has, a figure is refused and nothing is held against it. Twice as far out as any
figure that others published for that chip, it stands and is marked: a machine may be odd, or busy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from metalassay.machine import published, roofline_model
from metalassay.machine.chips import Chip
from metalassay.machine.published import Published
from metalassay.report.model import significant
from metalassay.results.parse import Measurement

FAR = 2.0
"""So many times outside the range of public figures is far."""
# Apple rounds down: 100 GB/s is 102.4, 200 is 204.8 (chips.toml).
_ROUNDED = 1.03
_ON = {"mps": "gpu", "cpu": "cpu"}


@dataclass(frozen=True)
class Doubt:
    """Why a figure is refused, or else far from others' figures; a sentence that names it."""

    refused: bool
    sentence: str


def doubts(one: Measurement, chip: Chip | None) -> list[Doubt]:
    """Return what is doubtful about the roof and the watts of a measurement; without a chip nothing."""
    if chip is None or one.emulated:
        return []
    figures = [each for each in published.of(chip) if each.on == _ON.get(one.device)]
    found: list[Doubt | None] = []
    if one.measured_peak:
        gflop_s, gb_s = one.measured_peak
        found.append(_bandwidth(gb_s, chip, figures))
        found.append(_arithmetic(gflop_s, one.device, chip, figures))
    if one.watts is not None:
        found.append(_power(one.watts, one.watts_from, published.of(chip)))
    return [doubt for doubt in found if doubt]


def roof(one: Measurement, chip: Chip | None) -> tuple[float, float] | None:
    """Return the (GFLOP/s, GB/s) that the device reached just before; None where that says nothing.

    That is without a probe, on an emulated device, and where either figure is refused.
    """
    if one.measured_peak is None or one.emulated or min(one.measured_peak) <= 0:
        return None
    return None if any(doubt.refused for doubt in _of_roof(one, chip)) else one.measured_peak


def _of_roof(one: Measurement, chip: Chip | None) -> Iterator[Doubt]:
    if chip is not None and one.measured_peak is not None:
        for doubt in (
            _bandwidth(one.measured_peak[1], chip, ()),
            _arithmetic(one.measured_peak[0], one.device, chip, ()),
        ):
            if doubt:
                yield doubt


def _bandwidth(gb_s: float, chip: Chip, figures: Iterable[Published]) -> Doubt | None:
    limit = chip.memory_bandwidth
    if limit and gb_s > _ROUNDED * limit.value:
        return Doubt(
            True,
            f"refused: a triad at {significant(gb_s)} GB/s, where the memory has {limit.value:g} "
            f"GB/s ({limit.kind})",
        )
    return _far("a triad at", gb_s, "GB/s", [each for each in figures if each.what == "bandwidth"])


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
            f"refused: a matrix product at {significant(gflop_s / 1e3)} TFLOP/s, where the chip has "
            f"{peak.value:g} TFLOP/s in float32 ({peak.kind})",
        )
    alike = [
        each
        for each in figures
        if each.what == "arithmetic" and each.work == "matrix product" and each.dtype == "float32"
    ]
    return _far("a matrix product at", gflop_s / 1e3, "TFLOP/s", alike)


def _power(watts: float, rail: str, figures: Sequence[Published]) -> Doubt | None:
    """Return what is doubtful about watts; little is not, as a small workload takes little."""
    loads = [each for each in figures if each.what == "power" and each.work == "load"]
    # Of rails but the GPU's we have no figure; none takes more than the machine from its plug.
    on = "gpu" if rail.partition(",")[0].strip().lower() == "gpu" else "wall"
    alike = [each for each in loads if each.on == on]
    if not alike or watts <= max(each.high for each in alike):
        return None
    return _far(f"power ({rail}) of", watts, "W", alike)


def _far(what: str, value: float, unit: str, figures: Sequence[Published]) -> Doubt | None:
    if not figures or value <= 0:
        return None
    low, high = min(each.low for each in figures), max(each.high for each in figures)
    if low / FAR <= value <= high * FAR:
        return None
    nearest = min(figures, key=lambda each: each.low if value < low else -each.high)
    return Doubt(
        False,
        f"{what} {significant(value)} {unit} is far from the public figure {nearest.text()} "
        f"({nearest.tool}, {nearest.how}; {nearest.source})",
    )
