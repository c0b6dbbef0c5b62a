"""Fold light curves into the two views of Shallue & Vanderburg 2018 (doi:10.3847/1538-3881/aa9e09).

Their section 3.3: medians of the folded curve in 2001 bins over the whole orbit, and in 201
overlapping bins 0.16 durations wide over four durations on either side of the dip; then the median
is scaled to 0 and the lowest value to -1. An empty bin gets the median of all, as in their code.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
GLOBAL_BINS, LOCAL_BINS = 2001, 201
DURATIONS, WIDTH = 4.0, 0.16  # of the local view, to either side, and of its bins, in durations
SPAN = 16.0  # more than the range of any flux; separates the bins in one sort


def flatten(flux: Floats, dip: npt.NDArray[np.bool_], window: int) -> Floats:
    """Subtract from fluxes (N, T) their running mean over ``window`` points, leaving out the dip."""
    sums = [_running(np.where(dip, 0, flux), window), _running((~dip).astype(float), window)]
    return flux - sums[0] / np.maximum(sums[1], 1)


def _running(values: Floats, window: int) -> Floats:
    """Return the sum of the ``window`` values around each value, (N, T); fewer at the ends."""
    half = window // 2
    total = np.zeros((values.shape[0], values.shape[1] + 2 * half + 1))
    total[:, half + 1 : half + 1 + values.shape[1]] = np.cumsum(values, axis=1)
    total[:, half + 1 + values.shape[1] :] = total[:, half + values.shape[1], None]
    return total[:, 2 * half + 1 :] - total[:, : -2 * half - 1]


def medians(flux: Floats, group: npt.NDArray[np.int64], groups: int) -> Floats:
    """Return the median flux of each of ``groups`` groups, (groups,); NaN for an empty group.

    One sort of all points: an offset larger than any flux separates each group from the next.
    """
    ordered = np.sort(group * SPAN + np.clip(flux, -SPAN / 3, SPAN / 3))
    count = np.bincount(group, minlength=groups)
    first = np.cumsum(count) - count
    if not len(flux):
        return np.full(groups, np.nan)
    low = np.minimum(first + np.maximum(count - 1, 0) // 2, len(ordered) - 1)
    high = np.minimum(first + count // 2, len(ordered) - 1)
    middle = (ordered[low] + ordered[high]) / 2 - np.arange(groups) * SPAN
    return np.where(count > 0, middle, np.nan)


def fold(times: Floats, period: Floats, epoch: Floats) -> Floats:
    """Return the time from the nearest dip, (N, T), in the unit of ``times``, (T,)."""
    orbits = (times - epoch[:, None]) / period[:, None]
    folded: Floats = (orbits - np.round(orbits)) * period[:, None]
    return folded


def views(
    flux: Floats, folded: Floats, good: npt.NDArray[np.bool_], period: Floats, duration: Floats
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the global, (N, 2001), and local, (N, 201), views of N curves of T points.

    ``good`` marks the points to use; durations and periods, (N,), are in the unit of ``folded``.
    """
    whole = np.empty((len(flux), GLOBAL_BINS))
    near = np.empty((len(flux), LOCAL_BINS))
    bins = ((folded / period[:, None] + 0.5) * GLOBAL_BINS).astype(np.int64)
    bins = np.clip(bins, 0, GLOBAL_BINS - 1)
    half = np.minimum(DURATIONS * duration, period / 2)
    inside = good & (np.abs(folded) < half[:, None])
    for i in range(len(flux)):  # a row fits into the cache: twice as fast as one large sort
        whole[i] = medians(flux[i][good[i]], bins[i][good[i]], GLOBAL_BINS)
        at = folded[i][inside[i]] + half[i]
        near[i] = _overlapping(flux[i][inside[i]], at, 2 * half[i], WIDTH * duration[i])
    return _normalise(whole), _normalise(near)


def _overlapping(flux: Floats, at: Floats, length: float, width: float) -> Floats:
    """Return the medians in ``LOCAL_BINS`` bins of ``width``, evenly spaced over ``length``; 1-D."""
    spacing = (length - width) / (LOCAL_BINS - 1)
    last = (at / spacing).astype(np.int64)  # the last bin that starts before the point
    bins = last - np.arange(int(width / spacing) + 1)[:, None]  # (copies, points)
    inside = (bins >= 0) & (bins < LOCAL_BINS) & (at - bins * spacing < width)
    return medians(np.broadcast_to(flux, bins.shape)[inside], bins[inside], LOCAL_BINS)


def _normalise(view: Floats) -> npt.NDArray[np.float32]:
    """Scale each row so that its median is 0 and its minimum -1; gaps become the median."""
    view = view - np.nanmedian(view, axis=1, keepdims=True)
    view = np.nan_to_num(view, nan=0.0)
    depth = np.maximum(-view.min(axis=1, keepdims=True), 1e-9)
    scaled: npt.NDArray[np.float32] = (view / depth).astype(np.float32)
    return scaled
