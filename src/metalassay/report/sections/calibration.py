"""Calibrations of classifiers as a section: whether what is given a probability of 0.8 is true in 8 of 10 cases.

The files are those of `metalassay train transit`, see ``metalassay.results.calibration_file``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metalassay.report.model import NO_VALUE, Plot, Point, Section, Series, Table, counted
from metalassay.results import calibration_file
from metalassay.results.calibration_file import Bin, Calibration, is_calibration
from metalassay.statistics.proportion import wilson

__all__ = ["RunCalibration", "is_calibration", "parse", "section"]

_DIAGONAL = Series("perfectly calibrated", (Point(0, 0), Point(1, 1)))
_SOURCES = {"synthetic": "synthetic light curves", "own": "your light curves"}
_NOTE = (
    "Bars: Wilson's 95 % interval of the share of planets, for light curves that are independent; those of one"
    " star are not quite, which makes the bars too short."
)


@dataclass(frozen=True)
class RunCalibration:
    """One file; ``name`` is how the user named it, ``source`` one of ``calibration_file.SOURCES``."""

    name: str
    calibration: Calibration
    source: str


def parse(content: bytes, name: str) -> RunCalibration:
    """Read a calibration. Raises ``FieldError`` for anything else, naming the field."""
    return RunCalibration(name, *calibration_file.parse(content))


def section(calibrations: Sequence[RunCalibration]) -> Section | None:
    """Return the plot and the tables of the calibrations, None without one."""
    if not calibrations:
        return None
    plot = Plot(
        title="How well do the probabilities fit?",
        x_label="predicted probability of a planet, mean of a bin",
        y_label="observed share of planets",
        # The diagonal comes first, since its ends would cover the points in the corners, which are the largest bins.
        series=(_DIAGONAL, *map(_series, calibrations)),
        note=_NOTE,
    )
    return Section(
        id="calibration",
        title="Calibration",
        plots=(plot,),
        tables=(_figures(calibrations), *map(_bins, calibrations)),
    )


def _series(one: RunCalibration) -> Series:
    points = []
    for each in one.calibration.bins:
        low, high = wilson(each.planets, each.count)
        label = (
            f"predicted {each.predicted:.3f}, observed {each.observed:.3f} ({low:.3f} to {high:.3f}):"
            f" {counted(each.planets, 'planet')} among {counted(each.count, 'light curve')}"
        )
        points.append(Point(each.predicted, each.observed, low, high, label))
    return Series(one.name, tuple(points), line=False)


def _figures(calibrations: Sequence[RunCalibration]) -> Table:
    return Table(
        caption="Calibration on the test set",
        head=("file", "test set", "light curves", "planets", "ECE", "Brier score"),
        rows=tuple(
            (
                one.name,
                _SOURCES[one.source],
                f"{one.calibration.count:,}",
                f"{one.calibration.planets:,}",
                f"{one.calibration.error:.4f}",
                f"{one.calibration.brier:.4f}",
            )
            for one in calibrations
        ),
        numeric=(False, False, True, True, True, True),
        notes=(
            "ECE: the expected calibration error, the distance of the points from the diagonal, weighted by their light"
            " curves. Chance alone gives one above 0, and the more the fewer light curves there are.",
            "Brier score: the mean squared difference between the probability and what was true, 1 or 0.",
        ),
    )


def _bins(one: RunCalibration) -> Table:
    return Table(
        caption=f"By predicted probability: {one.name}",
        head=("probability", "light curves", "planets", "predicted", "observed", "95 % interval"),
        rows=tuple(map(_row, one.calibration.bins)),
        numeric=(False, True, True, True, True, True),
    )


def _row(each: Bin) -> tuple[str, ...]:
    low, high = wilson(each.planets, each.count)
    return (
        f"{each.low:.3f} {NO_VALUE} {each.high:.3f}",
        f"{each.count:,}",
        f"{each.planets:,}",
        f"{each.predicted:.3f}",
        f"{each.observed:.3f}",
        f"{low:.3f} {NO_VALUE} {high:.3f}",
    )
