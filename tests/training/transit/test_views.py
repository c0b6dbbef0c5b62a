"""The two views of a light curve: medians in bins, and the flattening before."""

from __future__ import annotations

import numpy as np
import pytest

from metalassay.training.transit import light_curves, views


def test_a_view_has_the_median_at_0_and_the_dip_at_minus_1() -> None:
    curves = light_curves.chunk(0, 0)
    for view, bins in ((curves.whole, 2001), (curves.near, 201)):
        assert view.shape == (256, bins)
        assert view.min(axis=1) == pytest.approx(-1)
        assert np.abs(np.median(view, axis=1)).max() < 1e-3
    planets = curves.near[curves.planet == 1]
    middle = planets[:, 95:106].mean()
    assert middle < -0.6
    assert abs(planets[:, :40].mean()) < 0.1


def test_medians_equal_numpys() -> None:
    random = np.random.default_rng(0)
    flux, group = random.normal(0, 0.1, 500), random.integers(0, 40, 500)
    found = views.medians(flux, group, 41)
    expected = [np.median(flux[group == i]) for i in range(40)]
    assert found[:40] == pytest.approx(expected, abs=1e-9)
    assert np.isnan(found[40])


def test_local_bins_overlap_as_in_the_paper() -> None:
    # 201 bins 0.16 durations wide, the first at -4 durations, the last ending at +4.
    random = np.random.default_rng(0)
    at, flux = random.uniform(0, 8, 300), random.normal(0, 0.1, 300)
    found = views._overlapping(flux, at, 8.0, 0.16)
    for number, start in enumerate(np.linspace(0, 8 - 0.16, 201)):
        inside = flux[(at >= start) & (at < start + 0.16)]
        if len(inside):
            assert found[number] == pytest.approx(np.median(inside))
        else:
            assert np.isnan(found[number])


def test_flattening_removes_slow_changes_and_keeps_the_dip() -> None:
    times = np.arange(0, 20, 1 / 48)
    slow = 0.01 * np.sin(2 * np.pi * times / 60)
    dip = np.abs(times - 10) < 0.1
    flat = views.flatten((slow - 0.001 * dip)[None], dip[None], 72)[0]
    inner = slice(150, -150)
    assert np.abs(flat[inner][~dip[inner]]).max() < 1e-4
    assert flat[dip].mean() == pytest.approx(-0.001, abs=5e-5)
