"""Running a function in two gloo ranks: values, errors, hangs, sudden deaths."""

from __future__ import annotations

import os
import sys
import time

import pytest

from metalassay.environment import versions

if not {"torch", "accelerate"} <= versions.installed().keys():
    pytest.skip("torch or accelerate is not installed", allow_module_level=True)

from metalassay.testing import ranks

pytestmark = pytest.mark.slow


@pytest.fixture(params=["forkserver", "spawn"], autouse=True)
def start_method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Start the ranks as on Linux, and as on a Mac."""
    if request.param == "forkserver" and sys.platform == "darwin":
        pytest.skip("what torch loads does not survive a fork on macOS")
    monkeypatch.setenv(ranks.START_METHOD, request.param)
    method: str = request.param
    return method


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


def how_this_process_was_started() -> tuple[int, int]:
    """Return the ids of this process and of its parent."""
    return os.getpid(), os.getppid()


def test_a_rank_is_forked_by_the_server_or_a_child_of_this_process(start_method: str) -> None:
    started = ranks.values(ranks.run(how_this_process_was_started))
    assert len({process for process, _ in started}) == 2
    (parent,) = {parent for _, parent in started}
    assert (parent == os.getpid()) is (start_method == "spawn")


def test_on_a_mac_no_rank_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ranks.START_METHOD)
    assert ranks.start_method() == ("spawn" if sys.platform == "darwin" else "forkserver")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert ranks.start_method() == "spawn"


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
def test_a_failed_rank_is_reported_with_the_answers_of_the_others(how: str, words: str) -> None:
    # Long enough to start two processes on a busy machine; only one of them will answer.
    outcomes = ranks.run(behave, how, limit=8.0 if how == "hang" else 120.0)
    with pytest.raises(ranks.RankFailedError, match=f"rank 0: returned 'rank 0 of 2'\n{words}"):
        ranks.values(outcomes)
