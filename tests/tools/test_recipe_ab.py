"""The tables of docs/recipe.md: paired differences with their interval, verdicts, and that they follow from the files."""

from __future__ import annotations

import json

import pytest
import recipe_ab
from recipe_ab import Difference, difference, verdict


def test_the_difference_is_that_of_pairs_with_students_interval() -> None:
    found = difference([1.1, 2.3, 3.2, 4.4], [1.0, 2.0, 3.0, 4.0])
    assert found.mean == pytest.approx(0.25)
    # The differences .1 .3 .2 .4 have a standard deviation of 0.1291; t(99 %, 3) is 5.841.
    assert found.half == pytest.approx(5.841 * 0.1291 / 2, rel=1e-3)


@pytest.mark.parametrize(
    ("mean", "half", "name", "says"),
    [
        (0.02, 0.01, "auc", "better"),
        (-0.02, 0.01, "auc", "worse"),
        (0.02, 0.01, "ece", "worse"),
        (-0.02, 0.01, "brier", "better"),
        (0.001, 0.003, "auc", "no difference of 0.005"),
        (0.001, 0.006, "auc", "inconclusive"),
        (-0.003, 0.004, "brier", "inconclusive"),
    ],
)
def test_a_verdict_says_what_the_interval_says(
    mean: float, half: float, name: str, says: str
) -> None:
    assert verdict(Difference(mean, half), name) == says


def test_the_page_follows_from_the_files() -> None:
    assert recipe_ab.page() == recipe_ab.PAGE.read_text("utf-8"), "recipe_ab.py --page"


@pytest.mark.parametrize("name", recipe_ab.FILES)
def test_every_arm_has_every_seed_and_there_are_at_least_five(name: str) -> None:
    document = json.loads(recipe_ab.FILES[name].read_text("utf-8"))
    seeds = list(document["seeds"].values())
    assert len(seeds) >= 5
    assert all(each.keys() == seeds[0].keys() for each in seeds)
    assert recipe_ab.BASE in seeds[0]
    assert set(seeds[0]) <= {**recipe_ab.ARMS, **recipe_ab.LONG}.keys()
    assert all(recipe_ab.FIGURES.keys() == arm.keys() for each in seeds for arm in each.values())
