"""A round builds every arm and an A/A control, which take turns in random order and in reverse."""

from __future__ import annotations

import pytest

from metalassay.experiments import rounds
from metalassay.experiments.rounds import CONTROL, Arm, Figures


def test_every_round_builds_all_arms_and_the_control_and_runs_them_in_an_abba_block() -> None:
    built: list[str] = []
    ran: list[str] = []

    def builder(name: str, figure: float) -> rounds.Builders:
        def build() -> Arm:
            built.append(name)

            def arm() -> Figures:
                ran.append(name)
                return {"ms": figure * (1 + len(ran) % 2)}

            return arm

        return {name: build}

    builders = {**builder("a", 1.0), **builder("b", 4.0)}
    measured = [rounds.measure(builders, number) for number in range(6)]
    assert sorted(built) == ["a"] * 12 + ["b"] * 6  # the base and its control are the same code
    blocks = [ran[start : start + 6] for start in range(0, len(ran), 6)]
    assert all(block == block[::-1] for block in blocks)
    assert len({tuple(block) for block in blocks}) > 1
    # The turns of an arm in a block are of both sizes, 1 and 2: their geometric mean is used.
    root = 2**0.5
    (figures,) = rounds.compared(["a", "b"], measured)
    assert (figures.base, figures.arm, figures.what) == ("a", "b", "ms")
    assert figures.of_base == pytest.approx([root] * 6)
    assert figures.of_control == pytest.approx([root] * 6)
    assert figures.of_arm == pytest.approx([4 * root] * 6)


def test_a_single_arm_is_compared_with_its_control() -> None:
    measured = [{"a": {"rate": 3.0}, CONTROL: {"rate": 4.0}}] * 3
    (figures,) = rounds.compared(["a"], measured)
    assert (figures.base, figures.arm) == ("a", CONTROL)
    assert (figures.of_base, figures.of_arm) == ([3.0] * 3, [4.0] * 3)


def test_every_arm_is_compared_in_every_figure() -> None:
    one = {name: {"ms": 1.0, "MB": 2.0} for name in ("a", "b", "c", CONTROL)}
    pairs = [(each.arm, each.what) for each in rounds.compared(["a", "b", "c"], [one])]
    assert pairs == [("b", "ms"), ("c", "ms"), ("b", "MB"), ("c", "MB")]
