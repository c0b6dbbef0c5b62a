"""Light curves: reproducible from a seed, with every kind of star in its share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from metalassay.errors import UserError
from metalassay.training import commands
from metalassay.training.transit import light_curves, task


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("seed", "digest"),
    # Taken before numpy's warning of an overflow was avoided; -1 wraps around as well.
    [
        (0, "083a60cf3a84429d"),
        (3, "7f9721f3d0d22be6"),
        (42, "7207b510c63b9c2a"),
        (-1, "1c01f78bf61e4e47"),
        (2**40, "083a60cf3a84429d"),
    ],
)
def test_the_split_of_the_stars_never_changes_and_gives_no_warning(seed: int, digest: str) -> None:
    tenth = light_curves.tenth(np.arange(5000), seed)
    assert hashlib.sha256(tenth.astype("<i8").tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize("seed", [-(2**63), 2**63 - 1])
def test_the_largest_and_smallest_seeds_work(seed: int) -> None:
    assert len(light_curves.chunk(seed, 0).planet) == task.CHUNK
    none = torch.zeros(10, 1, 1)
    source = task.ShuffledBatches(task.Curves(none, none, torch.arange(10)), 5, seed)
    taken = [source.next().target.tolist() for _ in range(2)]
    assert sorted([*taken[0], *taken[1]]) == list(range(10))


@pytest.mark.parametrize(("mode", "shown"), [("quiet", False), ("json", False), ("bar", True)])
def test_a_bar_is_shown_only_in_the_mode_bar(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    mode: str,
    shown: bool,
) -> None:
    def make(seed: int, curves: int, watch: Callable[[range], Iterable[int]]) -> None:
        assert list(watch(range(2))) == [0, 1]
        raise UserError("enough", "no more")

    monkeypatch.setattr(task, "make", make)
    given = {"size": "guide", "seed": 0, "batch_size": 64, "curves": 512, "progress": mode}
    given |= {
        "steps": 5,
        "accumulate": 1,
        "device": "cpu",
        "output": str(tmp_path),
        "resume": False,
    }
    given |= {
        "dry_run": False,
        "data": None,
        "ephemeris": None,
        "predictions": None,
        "profile": None,
    }
    with pytest.raises(UserError, match="enough"):
        commands.train_transit(given)
    captured = capsys.readouterr()
    assert ("generating light curves" in captured.err) == shown
    assert captured.out == ""


def test_the_same_seed_gives_the_same_curves_and_another_does_not() -> None:
    first, again, other = (light_curves.chunk(seed, 3) for seed in (1, 1, 2))
    assert np.array_equal(first.whole, again.whole)
    assert np.array_equal(first.near, again.near)
    assert not np.array_equal(first.near, other.near)
    assert not np.array_equal(first.near, light_curves.chunk(1, 4).near)


def test_every_kind_of_star_has_its_share() -> None:
    kinds = np.concatenate([light_curves.chunk(0, i).kind for i in range(4)])
    shares = np.bincount(kinds, minlength=4) / len(kinds)
    assert shares == pytest.approx(light_curves.SHARES, abs=0.08)
