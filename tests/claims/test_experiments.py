"""experiments.toml: every open claim has an experiment or a command, and every row is complete."""

from __future__ import annotations

import itertools

import pytest

from metalassay.claims import catalogue, experiments
from metalassay.claims.evidence import LESS, MORE
from metalassay.errors import UserError
from metalassay.statistics import decision

ALL = experiments.load()


TWO_MACHINES = {"table-ratios", "chips-in-order"}
"""What compares one Mac with another, which no machine can alone."""


def test_every_claim_that_needs_a_mac_is_decided_by_an_experiment() -> None:
    waiting = {claim.id for claim in catalogue.load() if claim.verdict == catalogue.NEEDS_A_MAC}
    assert waiting - TWO_MACHINES <= experiments.decisions().keys()


def test_every_decision_is_about_a_claim_and_by_an_experiment() -> None:
    names = {one.name for one in ALL}
    for claim, decides in experiments.decisions().items():
        assert catalogue.get(claim).id == claim
        assert decides.experiment in names
        assert bool(decides.when) != bool(experiments.get(decides.experiment).test)


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_an_experiment_has_a_device_a_value_and_enough_rounds(one: experiments.Experiment) -> None:
    assert one.device in experiments.DEVICES
    assert 1 <= one.value <= 5
    assert one.seconds > 0
    assert one.question.endswith("?")
    assert one.test or one.rounds >= decision.FEWEST
    assert experiments.claims_of(one.name)


def test_a_condition_says_in_exactly_one_way_what_has_to_be_so() -> None:
    words = {MORE, LESS, decision.SAME}
    for decides in experiments.decisions().values():
        for when in decides.when:
            ways = [when.expects, when.ratio, when.value, when.values]
            assert sum(map(bool, ways)) == 1, decides.claim
            assert set(when.expects) <= words
            assert {when.arm, when.what} <= set(experiments.NAMES)
            assert bool(when.base) == bool(when.expects or when.ratio)
            for low, high in filter(None, (when.ratio, when.value)):
                assert low < high


def test_the_most_value_per_second_comes_first() -> None:
    def worth(one: experiments.Experiment) -> float:
        return one.value * len(experiments.claims_of(one.name)) / one.seconds

    assert all(worth(a) >= worth(b) for a, b in itertools.pairwise(ALL))


def test_twenty_minutes_are_enough_for_three_quarters_of_the_claims() -> None:
    left, decided = 20 * 60.0, 0
    for one in ALL:
        if one.seconds <= left:
            left -= one.seconds
            decided += len(experiments.claims_of(one.name))
    assert decided >= 0.75 * len(experiments.decisions())


def test_an_experiment_is_found_by_its_name_and_by_a_claim() -> None:
    assert experiments.get("workers") is experiments.get("zero-workers")


@pytest.mark.parametrize(
    ("name", "words"),
    [("bandwidth-utilisation", "no experiment decides"), ("zzzz", "no claim 'zzzz'")],
)
def test_what_cannot_be_run_is_refused(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        experiments.get(name)
