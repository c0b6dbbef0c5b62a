"""Compute how much light of a limb-darkened star a dark disc hides (Mandel & Agol 2002).

doi:10.1086/345520. Their eq. 1 gives the area of a uniform disc that a disc of radius p hides. A star
whose brightness falls towards its limb is a stack of uniform discs, and the lost light is the sum of
what is hidden of each: the integral of their section 5 as a sum of ``DISCS`` terms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

DISCS = 32  # equal steps of the cosine to the normal, so the rings at the limb are narrow
CELLS = 48  # of the table over the full eclipse, and again over ingress


def overlap(star: Array, planet: Array, distance: Array) -> Array:
    """Return the area that two discs share; radii and distance in the same unit, broadcast."""
    z = np.maximum(distance, 1e-9)
    # Out of range if one disc is inside the other or they are apart; clipping is then correct.
    a = (z * z + planet * planet - star * star) / (2 * z * planet)
    b = (z * z + star * star - planet * planet) / (2 * z * star)
    kite = (planet + star - z) * (z + planet - star) * (z - planet + star) * (z + planet + star)
    area: Array = (
        planet * planet * np.arccos(np.clip(a, -1, 1))
        + star * star * np.arccos(np.clip(b, -1, 1))
        - np.sqrt(np.maximum(kite, 0)) / 2
    )
    return area


@dataclass(frozen=True)
class Eclipses:
    """The light lost by N stars, as tables over the distance of the centres, (N, 2 * CELLS + 1).

    The first half of a table runs from 0 to 1 - p, the second through ingress to 1 + p.
    """

    radius: Array
    lost: Array

    def at(self, distance: Array, row: npt.NDArray[np.int64]) -> Array:
        """Return the fraction of light that star ``row`` loses at ``distance``, in stellar radii."""
        p = self.radius[row]
        inside = 1 - p
        cell = np.where(
            distance < inside,
            CELLS * distance / inside,
            CELLS * (1 + (distance - inside) / (2 * p)),
        )
        cell = np.minimum(cell, 2 * CELLS)
        low = np.minimum(cell.astype(np.int64), 2 * CELLS - 1)
        below = self.lost[row, low]
        lost: Array = below + (cell - low) * (self.lost[row, low + 1] - below)
        return lost


def eclipses(radius: Array, u1: Array, u2: Array) -> Eclipses:
    """Tabulate N pairs with the ratio of radii ``radius``, below 1, and quadratic limb darkening.

    I(mu) = 1 - u1 (1 - mu) - u2 (1 - mu)^2, with mu the cosine to the normal of the surface.
    """
    edges = np.linspace(1, 0, DISCS + 1)  # of mu, from the centre to the limb
    away = 1 - (edges[1:] + edges[:-1]) / 2
    bright = 1 - u1[:, None] * away - u2[:, None] * away**2  # (N, DISCS), of each ring
    weights = bright - np.append(bright[:, 1:], np.zeros((len(u1), 1)), axis=1)  # of each disc
    discs = np.sqrt(1 - edges[1:] ** 2)  # radius of each disc
    total = np.pi * (weights * discs**2).sum(1)
    along = np.linspace(0, 1, CELLS + 1)
    p = radius[:, None]
    z = np.concatenate([along * (1 - p), 1 - p + 2 * p * along[1:]], axis=1)  # (N, cells)
    hidden = overlap(discs, p[:, :, None], z[:, :, None])  # (N, cells, DISCS)
    lost = np.einsum("nck,nk->nc", hidden, weights) / total[:, None]
    return Eclipses(radius, lost)
