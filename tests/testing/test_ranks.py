"""Running a function in two gloo ranks: values, errors, hangs, sudden deaths."""

from __future__ import annotations

import os
import time

import pytest

from metalassay.environment import versions

if not {"torch", "accelerate"} <= versions.installed().keys():
    pytest.skip("torch or accelerate is not installed", allow_module_level=True)

from metalassay.testing import ranks

pytestmark = pytest.mark.slow


def behave(how: str) -> str:
    """End rank 1 in one of several ways; rank 0 answers."""
    if os.environ["RANK"] == "1":
        if how == "raise":
            raise ValueError("no data")
        if how == "die":
            os._exit(3)
        if how == "hang":
            time.sleep(600)
    return f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']}"


def test_every_rank_answers() -> None:
    answers = ranks.values(ranks.run(behave, "well"))
    assert answers == ["rank 0 of 2", "rank 1 of 2"]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raise", "rank 1: ValueError: no data"),
        ("die", "rank 1: died without an answer"),
        ("hang", r"rank 1: hung: did not answer within \d"),
    ],
)
def test_a_rank_that_fails_is_told_with_what_the_others_said(how: str, words: str) -> None:
    # Long enough to start two processes on a busy machine, where only one of them will answer.
    outcomes = ranks.run(behave, how, limit=8.0 if how == "hang" else 120.0)
    with pytest.raises(ranks.RankFailedError, match=f"rank 0: returned 'rank 0 of 2'\n{words}"):
        ranks.values(outcomes)
