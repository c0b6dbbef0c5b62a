"""Read a user's own light curves, and fold each by its ephemeris to the two views of the model.

The table of ephemerides is CSV with the columns file, period, epoch, duration and, if known, label: 1 for a
planet, 0 for anything else. Periods and durations are in days, epochs in the time of the light curves. A
light curve is CSV with the columns time and flux, or a FITS file as the Kepler and TESS pipelines write it.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib
import io
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from metalassay import files
from metalassay.environment import extras
from metalassay.errors import UserError, reason
from metalassay.training.transit.light_curves import FLATTEN
from metalassay.training.transit.task import PARTS, Curves
from metalassay.training.transit.views import GLOBAL_BINS, LOCAL_BINS, Floats, fold, views

FITS = (".fits", ".fit", ".fits.gz")
# Of these columns the first that is there; PDCSAP is corrected for what the instrument does.
FLUXES = ("PDCSAP_FLUX", "SAP_FLUX", "FLUX")
FEWEST_POINTS = 50  # of a light curve
LABELS = {"": None, "1": 1, "0": 0, "1.0": 1, "0.0": 0}
COLUMNS = ("file", "period", "epoch", "duration")
NEXT_TABLE = "the table is CSV with the columns file,period,epoch,duration and, if known, label"
NEXT_CURVE = "a light curve is CSV with the columns time,flux, or FITS of Kepler or TESS"


@dataclass(frozen=True)
class Ephemeris:
    """A row of the table: the file, when its dips are, and whether it is a planet, if that is known."""

    file: str
    period: float
    epoch: float
    duration: float
    label: int | None
    line: int


@dataclass(frozen=True)
class Observed:
    """N light curves in two views; ``part`` names the set that each belongs to, "" without a label."""

    rows: Sequence[Ephemeris]
    curves: Curves
    part: Sequence[str]

    def sets(self) -> dict[str, Curves] | None:
        """Return the labelled curves by set, all of a file in the same; None if none has a label.

        Raises ``UserError`` if a set does not have both a planet and something else.
        """
        if not any(self.part):
            return None
        found = {}
        for name in PARTS:
            index = torch.tensor([i for i, part in enumerate(self.part) if part == name]).long()
            planet = self.curves.planet[index]
            if len(set(planet.tolist())) < 2:
                raise UserError(
                    f"too few labelled light curves: of the {name} set's {len(index)},"
                    f" {int(planet.sum())} are planets",
                    "label at least three files with planets and three without",
                )
            found[name] = Curves(self.curves.whole[index], self.curves.near[index], planet)
        return found

    def identity(self) -> dict[str, Any]:
        """Return a hash of the views and the labels, which a resumed run has to have in common."""
        digest = hashlib.sha256()
        for tensor in (self.curves.whole, self.curves.near, self.curves.planet):
            digest.update(tensor.numpy().tobytes())
        digest.update("\n".join(self.part).encode())
        return {"curves": len(self.rows), "sha256": digest.hexdigest()}


def read(table: Path, folder: Path, seed: int) -> Observed:
    """Read the table and the light curves in ``folder`` that it names; one light curve at a time.

    Raises ``UserError`` that names the file and the line of the first fault.
    """
    rows = list(_table(table))
    whole = np.empty((len(rows), 1, GLOBAL_BINS), np.float32)
    near = np.empty((len(rows), 1, LOCAL_BINS), np.float32)
    last: tuple[str, tuple[Floats, Floats]] | None = None  # a star with several rows is read once
    for i, row in enumerate(rows):
        if last is None or last[0] != row.file:
            last = row.file, light_curve(folder / row.file)
        whole[i, 0], near[i, 0] = folded(*last[1], row)
    sets = split(rows, seed)
    part = ["" if row.label is None else sets[row.file] for row in rows]
    planet = torch.tensor([float(row.label or 0) for row in rows])
    return Observed(rows, Curves(torch.from_numpy(whole), torch.from_numpy(near), planet), part)


def split(rows: Sequence[Ephemeris], seed: int) -> dict[str, str]:
    """Return the set of each file with a label: a tenth of the planets and of the others for each test.

    Of either kind at least one file is in each set, if there are three. A file with a planet is a planet.
    """
    kinds: dict[str, int] = {}
    for row in rows:
        if row.label is not None:
            kinds[row.file] = max(row.label, kinds.get(row.file, 0))
    sets = {}
    for kind in (0, 1):
        names = [name for name in kinds if kinds[name] == kind]
        names.sort(key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
        few = max(len(names) // 10, 1)
        for number, name in enumerate(names):
            sets[name] = ("test", "validation", "train")[min(number // few, 2)]
    return sets


def _table(path: Path) -> Iterator[Ephemeris]:
    header: list[str] = []
    found = False
    for line, cells in _cells(path, NEXT_TABLE):
        if not header:
            header = [cell.strip().lower() for cell in cells]
            if missing := [name for name in COLUMNS if name not in header]:
                raise UserError(f"{path} has no column {missing[0]!r}", NEXT_TABLE)
            continue
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        yield _ephemeris(path, line, row)
        found = True
    if not found:
        raise UserError(f"{path} has no rows", NEXT_TABLE)


def _ephemeris(path: Path, line: int, row: dict[str, str]) -> Ephemeris:
    where = f"{path}, line {line}"
    numbers = {}
    for name in COLUMNS[1:]:
        value = _number(row.get(name, ""))
        if not math.isfinite(value) or (name != "epoch" and value <= 0):
            kind = "a number" if name == "epoch" else "a number above 0"
            raise UserError(
                f"{where}: {name} must be {kind}, not {row.get(name, '')!r:.42}", NEXT_TABLE
            )
        numbers[name] = value
    if numbers["duration"] >= numbers["period"]:
        raise UserError(f"{where}: the duration is not shorter than the period", "both are in days")
    label = row.get("label", "")
    if label not in LABELS:
        raise UserError(f"{where}: label must be 1, 0 or empty, not {label!r:.42}", NEXT_TABLE)
    if not row["file"] or "\0" in row["file"]:
        raise UserError(f"{where}: no file is named", NEXT_TABLE)
    return Ephemeris(row["file"], **numbers, label=LABELS[label], line=line)


def light_curve(path: Path) -> tuple[Floats, Floats]:
    """Return the times and the fluxes of a file, sorted, the median flux 1; what is not finite is left out.

    Raises ``UserError`` for a file that cannot be read, and for fewer than ``FEWEST_POINTS`` points.
    """
    read = _fits if path.name.lower().endswith(FITS) else _csv
    times, flux = read(path)
    good = np.isfinite(times) & np.isfinite(flux)
    times, flux = times[good], flux[good]
    if len(times) < FEWEST_POINTS:
        raise UserError(
            f"{path} has {len(times)} usable points, fewer than {FEWEST_POINTS}", NEXT_CURVE
        )
    median = float(np.median(flux))
    if median <= 0:
        raise UserError(
            f"{path}: the median of the flux is {median:g}, which no star has",
            "flux is the light of the star, not its difference from the mean, nor a magnitude",
        )
    order = np.argsort(times, kind="stable")
    return times[order], flux[order] / median


def _csv(path: Path) -> tuple[Floats, Floats]:
    columns: tuple[int, int] | None = None
    times, flux = [], []
    for line, cells in _cells(path, NEXT_CURVE):
        if columns is None:
            names = [cell.strip().lower() for cell in cells]
            if "time" in names and "flux" in names:
                columns = names.index("time"), names.index("flux")
                continue
            if len(cells) != 2 or not math.isfinite(_number(cells[0])):
                raise UserError(f"{path}, line {line}: no columns time and flux", NEXT_CURVE)
            columns = 0, 1  # two numbers and no header
        if len(cells) <= max(columns):
            raise UserError(f"{path}, line {line}: {len(cells)} columns", NEXT_CURVE)
        times.append(_number(cells[columns[0]]))
        flux.append(_number(cells[columns[1]]))
    return np.array(times), np.array(flux)


def _fits(path: Path) -> tuple[Floats, Floats]:
    try:
        fits = importlib.import_module("astropy.io.fits")
    except ModuleNotFoundError:
        raise extras.missing_extra("a light curve in FITS", "fits", "astropy") from None
    content = files.read_bytes(path, NEXT_CURVE)
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(io.BytesIO(content)) as unpacked:
                content = unpacked.read(files.MOST)
        with fits.open(io.BytesIO(content)) as units:
            for unit in units:
                names = getattr(getattr(unit, "columns", None), "names", None) or []
                name = next((name for name in FLUXES if name in names), None)
                if name is None or "TIME" not in names:
                    continue
                times, flux = (np.asarray(unit.data[key], np.float64) for key in ("TIME", name))
                quality = next((key for key in ("QUALITY", "SAP_QUALITY") if key in names), None)
                good = np.ones(len(times), bool) if quality is None else unit.data[quality] == 0
                return times[good], flux[good]
    except (
        OSError,
        EOFError,
        zlib.error,
        ValueError,
        TypeError,
        LookupError,
    ) as error:  # how it reports damage
        raise UserError(f"{path} is not readable as FITS: {reason(error)}", NEXT_CURVE) from None
    raise UserError(f"{path} has no table with TIME and one of {', '.join(FLUXES)}", NEXT_CURVE)


def _cells(path: Path, next_step: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line of a CSV file but comments (#) and empty ones."""
    reader = csv.reader(io.StringIO(files.read_text(path, next_step, encoding="utf-8-sig")))
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells) and not cells[0].lstrip().startswith("#"):
                yield reader.line_num, cells
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}", next_step) from None


def _number(text: str) -> float:
    """Return the number, NaN for what is none: instruments leave cells empty."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def folded(
    times: Floats, flux: Floats, row: Ephemeris
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the global, (2001,), and the local view, (201,), of a light curve, flattened around its dips."""
    period, epoch, duration = (np.array([value]) for value in (row.period, row.epoch, row.duration))
    phase = fold(times, period, epoch)
    level = trend(times, flux, np.abs(phase[0]) < 0.6 * row.duration)
    whole, near = views(
        (flux - level)[None], phase, np.ones((1, len(times)), bool), period, duration
    )
    return whole[0], near[0]


def trend(times: Floats, flux: Floats, dip: npt.NDArray[np.bool_]) -> Floats:
    """Return the mean flux over ``FLATTEN`` days around each time, without the dips; 1 where there is none.

    Unlike ``views.flatten`` it allows for gaps and for any distance between the points.
    """
    sums = np.concatenate([[0.0], np.cumsum(np.where(dip, 0, flux - 1))])
    counts = np.concatenate([[0], np.cumsum(~dip)])
    low = np.searchsorted(times, times - FLATTEN / 2)
    high = np.searchsorted(times, times + FLATTEN / 2, side="right")
    level: Floats = 1 + (sums[high] - sums[low]) / np.maximum(counts[high] - counts[low], 1)
    return level


def predictions(observed: Observed, logits: npt.NDArray[np.float32]) -> str:
    """Return CSV: the rows of the table, the set of each, its logit and the probability of a planet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, "label", "set", "logit", "probability"])
    for row, part, logit in zip(observed.rows, observed.part, logits.tolist(), strict=True):
        probability = 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
        label = "" if row.label is None else row.label
        values = [repr(value) for value in (row.period, row.epoch, row.duration)]
        writer.writerow([row.file, *values, label, part, f"{logit:.4f}", f"{probability:.6f}"])
    return text.getvalue()
