"""The light that a planet hides, against geometry, batman and the limb-darkening law."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metalassay.training.transit.eclipse import eclipses, overlap


def test_the_overlap_of_two_discs_equals_its_formula() -> None:
    star, planet = np.array(1.0), np.array(0.1)
    assert overlap(star, planet, np.array(2.0)) == 0
    assert overlap(star, planet, np.array(0.0)) == pytest.approx(math.pi * 0.01)
    # Two unit discs whose centres are 1 apart: 2 pi / 3 - sqrt(3) / 2.
    both = overlap(star, star, np.array(1.0))
    assert both == pytest.approx(2 * math.pi / 3 - math.sqrt(3) / 2)


@pytest.mark.parametrize(
    ("radius", "lost"),
    [
        (0.1, [0.011988, 0.0112934, 0.0061561, 0.0012279]),
        (0.5, [0.2918078, 0.2666878, 0.120017, 0.0878379]),
    ],
)
def test_the_depth_of_a_transit_equals_that_of_batman(radius: float, lost: list[float]) -> None:
    # Recorded from batman-package 2.5.1, quadratic law, u = (0.4, 0.2), at these distances.
    distance = np.array([0, 0.5, 0.95, 1.05])
    table = eclipses(np.array([radius]), np.array([0.4]), np.array([0.2]))
    assert table.at(distance, np.zeros(4, np.int64)) == pytest.approx(lost, rel=0.01)


@pytest.mark.parametrize("radius", [0.05, 0.5])
def test_without_limb_darkening_the_depth_is_the_square_of_the_radius(radius: float) -> None:
    table = eclipses(np.array([radius]), np.zeros(1), np.zeros(1))
    inside = table.at(np.array([0.0, 0.4]), np.zeros(2, np.int64))
    assert inside == pytest.approx(radius**2, rel=1e-6)
    assert table.at(np.array([1 + radius + 0.01]), np.zeros(1, np.int64)) < 1e-9


def test_limb_darkening_deepens_the_middle_of_a_transit() -> None:
    # A small planet in the middle takes p^2 times the central over the mean brightness, which is
    # 1 - u1 / 3 - u2 / 6 (the law integrated over the disc).
    table = eclipses(np.array([0.01]), np.array([0.4]), np.array([0.2]))
    middle = table.at(np.zeros(1), np.zeros(1, np.int64))[0]
    assert middle == pytest.approx(1e-4 / (1 - 0.4 / 3 - 0.2 / 6), rel=0.01)
