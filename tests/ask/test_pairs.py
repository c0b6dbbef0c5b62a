"""Steps in turns: ratios by round, and what their interval says."""

from __future__ import annotations

import pytest

from metalassay.ask.pairs import FEWEST, MOST, Ratio, Turns


class Clock:
    """A clock that steps move by what they take; a disturbance makes all of a round slower."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, 0

    def __call__(self) -> float:
        return self.now

    def step(self, seconds: float, wobble: float) -> None:
        self.calls += 1
        disturbed = 1 + (self.calls // 2) % 3
        self.now += seconds * disturbed * (1 + wobble * (self.calls % 5 - 2))


def turns(b: float, wobble: float = 0.001, budget: float = 1e9) -> Turns:
    clock = Clock()
    made = Turns({"a": lambda: clock.step(1.0, wobble), "b": lambda: clock.step(b, wobble)})
    made.run(budget, clock)
    return made


def test_a_step_that_takes_twice_as_long_is_slower() -> None:
    ratio = turns(2.0).ratio("b", "a")
    assert ratio.ratio == pytest.approx(2, rel=0.05)
    assert ratio.word == "slower"
    assert turns(0.5).ratio("b", "a").word == "faster"


def test_the_same_step_is_not_told_apart_from_itself() -> None:
    assert turns(1.0, wobble=0.02).ratio("b", "a").word == "not told apart"
    assert Ratio(1.2, 0.9, 1.6).word == "not told apart"


def test_the_number_of_rounds_has_bounds() -> None:
    assert turns(1.0, budget=0).timing("a").rounds == FEWEST
    assert turns(1.0).timing("a").rounds == MOST
