"""Generate, from a seed, synthetic light curves of stars that a transit search would have selected.

Half of the stars have a planet; the others look similar: eclipsing binaries (some diluted by a
brighter neighbour), variable stars, and noise with instrument faults. Each star is observed for two
seasons of 90 days, every 30 minutes. Units: days, solar masses and radii, relative flux.

Not modelled: eccentric orbits, smearing by the exposure time, several planets of one star.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metalassay.training.transit.eclipse import eclipses
from metalassay.training.transit.views import Floats, flatten, fold, views

SEASON, CADENCE = 90.0, 1 / 48
TIMES = np.arange(0, SEASON, CADENCE)
STARS, SEASONS = 128, 2  # of a chunk, which is generated at once
KINDS = ("planet", "binary", "variable", "noise")
SHARES = (0.5, 0.2, 0.15, 0.15)
FLATTEN = 1.5  # days; slower changes of a star are removed
AU = 215.032  # solar radii


@dataclass(frozen=True)
class LightCurves:
    """N curves in two views; ``planet`` is 1 for a transit, ``kind`` is an index into ``KINDS``."""

    whole: npt.NDArray[np.float32]  # (N, 2001)
    near: npt.NDArray[np.float32]  # (N, 201)
    planet: npt.NDArray[np.float32]  # (N,)
    kind: npt.NDArray[np.int64]  # (N,)
    star: npt.NDArray[np.int64]  # (N,)


def chunk(seed: int, number: int) -> LightCurves:
    """Generate chunk ``number`` of the curves of ``seed``, with the stars from ``number * STARS``.

    The curves depend on ``seed`` and ``number`` alone (and on the release of numpy, which may change
    its distributions).
    """
    random = np.random.Generator(np.random.Philox(key=[seed, number]))
    stars = _Stars.draw(random, STARS)
    seasons = [_observe(random, stars) for _ in range(SEASONS)]
    ids = np.arange(STARS, dtype=np.int64) + number * STARS
    return LightCurves(
        np.concatenate([whole for whole, _ in seasons]),
        np.concatenate([near for _, near in seasons]),
        np.tile((stars.kind == 0).astype(np.float32), SEASONS),
        np.tile(stars.kind, SEASONS),
        np.tile(ids, SEASONS),
    )


def tenth(star: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Return 0 to 9 for each star: data sets are split by it, so all curves of a star stay together."""
    # The finaliser of SplitMix64 (Steele, Lea & Flood 2014), in integers that wrap around.
    # The one scalar product is computed by Python: numpy warns when a scalar wraps around.
    offset = seed % 2**32 * 0x9E3779B97F4A7C15 % 2**64
    mixed = star.astype(np.uint64) + np.uint64(offset)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    digits: npt.NDArray[np.int64] = (mixed % np.uint64(10)).astype(np.int64)
    return digits


def _log_uniform(random: np.random.Generator, low: float, high: float, size: int) -> Floats:
    return np.exp(random.uniform(np.log(low), np.log(high), size))


@dataclass(frozen=True)
class _Stars:
    """The properties of N stars that do not change from season to season; each is (N,)."""

    kind: npt.NDArray[np.int64]
    period: Floats
    duration: Floats
    separation: Floats  # in stellar radii
    impact: Floats
    ratio: Floats  # of the radii
    u1: Floats
    u2: Floats
    second: Floats  # light of the companion, relative to the primary
    dilution: Floats  # fraction of the light that comes from the pair
    noise: Floats  # of one point
    rotation: Floats
    spots: Floats  # amplitude of the variability

    @staticmethod
    def draw(random: np.random.Generator, n: int) -> _Stars:
        kind = np.searchsorted(np.cumsum(SHARES)[:-1], random.random(n), side="right")
        planet, binary, variable = kind == 0, kind == 1, kind == 2
        rotation = np.where(
            variable, _log_uniform(random, 0.3, 4, n), _log_uniform(random, 4, 40, n)
        )
        spots = np.where(
            variable, _log_uniform(random, 2e-3, 3e-2, n), _log_uniform(random, 1e-4, 5e-3, n)
        )
        mass = random.uniform(0.5, 1.3, n)
        radius = mass**0.8  # approximately the main sequence
        period = np.where(binary, _log_uniform(random, 0.6, 20, n), _log_uniform(random, 1, 30, n))
        period = np.where(variable, rotation, period)
        ratio = np.where(binary, random.uniform(0.2, 0.95, n), _log_uniform(random, 0.012, 0.12, n))
        companion = np.where(binary, mass * ratio**1.25, 0)
        # Kepler's third law, in years and astronomical units
        separation = AU * ((mass + companion) * (period / 365.25) ** 2) ** (1 / 3) / radius
        separation = np.maximum(separation, 1.5 * (1 + ratio))  # no contact
        impact = random.random(n) * np.where(binary, 0.95 * (1 + ratio), 0.95)
        chord = np.sqrt((1 + ratio) ** 2 - impact**2)
        duration = period / np.pi * np.arcsin(np.minimum(chord / separation, 1))
        made_up = np.minimum(random.uniform(0.02, 0.15, n) * period, 0.5)
        duration = np.where(planet | binary, duration, made_up)
        duration = np.clip(duration, 3 * CADENCE, 0.2 * period)
        diluted = binary & (random.random(n) < 0.5)
        dilution = np.where(diluted, _log_uniform(random, 0.003, 0.3, n), 1)
        # A search selects signals well above the noise (Kepler's threshold is 7.1 sigma).
        depth = np.where(planet | binary, ratio**2 * dilution, spots / 3)
        strength = _log_uniform(random, 10, 300, n)
        points = duration / CADENCE * SEASON / period
        noise = np.clip(depth * np.sqrt(points) / strength, 3e-5, 0.02)
        return _Stars(
            kind=kind,
            period=period,
            duration=duration,
            separation=separation,
            impact=impact,
            ratio=ratio,
            u1=random.uniform(0.3, 0.5, n),
            u2=random.uniform(0.1, 0.3, n),
            second=np.where(binary, random.random(n) * ratio**2, 0),
            dilution=dilution,
            noise=noise,
            rotation=rotation,
            spots=spots * np.where(planet | binary, np.minimum(1, depth / 1e-3), 1),
        )


def _observe(
    random: np.random.Generator, stars: _Stars
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Observe the stars for a season, with its own noise, starspots, gaps and faults."""
    n, t = len(stars.kind), len(TIMES)
    orbiting = stars.kind < 2
    phase = random.random(n)
    # A variable star is folded on its minimum, noise on a random moment.
    epoch = np.where(stars.kind == 2, (0.75 - phase) % 1, random.random(n)) * stars.period
    folded = fold(TIMES, stars.period, epoch)
    flux = stars.noise[:, None].astype(np.float32) * random.standard_normal((n, t), np.float32)
    flux = flux + _spots(random, stars, phase)
    flux[orbiting] += _dips(_only(stars, orbiting), folded[orbiting])
    faulty = np.flatnonzero((stars.kind == 3) & (random.random(n) < 0.5))
    moment, deep = random.random(n) * SEASON, _log_uniform(random, 3, 20, n) * stars.noise
    for i in faulty:  # a pixel loses sensitivity suddenly and recovers within a day
        since = TIMES - moment[i]
        flux[i] -= deep[i] * np.where(since > 0, np.exp(-np.maximum(since, 0) * 3), 0)
    good = random.random((n, t), np.float32) > 0.03
    dip = np.abs(folded) < 0.6 * stars.duration[:, None]
    flat = flatten(flux, dip, int(FLATTEN / CADENCE))
    return views(flat, folded, good, stars.period, stars.duration)


def _only(stars: _Stars, chosen: npt.NDArray[np.bool_]) -> _Stars:
    return _Stars(**{name: values[chosen] for name, values in vars(stars).items()})


def _spots(random: np.random.Generator, stars: _Stars, phase: Floats) -> Floats:
    """Return the light of rotating spots, (N, T): a sine with two harmonics, and a slow trend."""
    angle = (TIMES / stars.rotation[:, None] + phase[:, None]).astype(np.float32)
    angle = (angle - np.floor(angle)) * np.float32(2 * np.pi)
    sine, cosine = np.sin(angle), np.cos(angle)
    parts = random.uniform(-0.3, 0.3, (2, len(phase), 1))
    wave = sine * (1 + parts[0] * cosine) + parts[1] * cosine * cosine
    trend = random.normal(0, 1, (len(phase), 1)) * (TIMES / SEASON - 0.5)
    light: Floats = stars.spots[:, None] * (wave + trend)
    return light


def _dips(stars: _Stars, folded: Floats) -> Floats:
    """Return the change in light by eclipses and by the shape of close pairs, (N, T)."""
    orbit = 2 * np.pi * folded / stars.period[:, None]
    sine, cosine = np.sin(orbit), np.cos(orbit)
    height = stars.impact[:, None] * cosine
    distance = np.sqrt((stars.separation[:, None] * sine) ** 2 + height**2)
    table = eclipses(stars.ratio, stars.u1, stars.u2)
    touching = distance < 1 + stars.ratio[:, None]
    row, column = np.nonzero(touching)
    hidden = table.at(distance[row, column], row)
    front = cosine[row, column] > 0
    # Behind the star, the companion loses the hidden part of its own disc, assumed uniform.
    lost = np.where(front, hidden, hidden / table.lost[row, 0] * stars.second[row])
    # A close companion distorts the star into an ellipsoid, seen from the side twice per orbit.
    ellipsoid = np.where(stars.second > 0, stars.ratio**1.25 * stars.separation**-3, 0)
    light = -ellipsoid[:, None] * np.cos(2 * orbit)
    light[row, column] -= lost
    result: Floats = light * (stars.dilution / (1 + stars.second))[:, None]
    return result
