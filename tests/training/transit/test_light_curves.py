"""Light curves for what a user may ask for: any seed, any number, and what is said meanwhile."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
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
def test_stars_are_divided_by_the_seed_as_ever_and_without_a_warning(
    seed: int, digest: str
) -> None:
    tenth = light_curves.part(np.arange(5000), seed)
    assert hashlib.sha256(tenth.astype("<i8").tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize("seed", [-(2**63), 2**63 - 1])
def test_every_seed_that_can_be_typed_makes_curves_and_an_order(seed: int) -> None:
    assert len(light_curves.chunk(seed, 0).planet) == task.CHUNK
    none = torch.zeros(10, 1, 1)
    source = task.Shuffled(task.Curves(none, none, torch.arange(10)), 5, seed)
    taken = [source.next().target.tolist() for _ in range(2)]
    assert sorted([*taken[0], *taken[1]]) == list(range(10))


def test_the_order_of_a_negative_seed_is_that_of_torch() -> None:
    none = torch.zeros(10, 1, 1)
    source = task.Shuffled(task.Curves(none, none, torch.arange(10)), 10, -1)
    expected = torch.randperm(10, generator=torch.Generator().manual_seed(-1_000_003))
    assert source.next().target.tolist() == expected.tolist()


def test_curves_for_which_there_is_no_memory_are_refused_before_any_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(light_curves, "chunk", lambda *_: pytest.fail("a chunk was made"))
    with pytest.raises(UserError, match="100,000,000,000 light curves need about") as raised:
        task.make(0, 10**11)
    most = int(raised.value.next_step.rpartition(" ")[2])
    assert task.FEWEST < most < 10**11
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**6))
    with pytest.raises(UserError) as raised:
        task.make(0, 2048)
    assert raised.value.next_step == "close other programs"


@pytest.mark.slow
def test_the_estimate_of_memory_is_near_what_curves_take() -> None:
    code = (
        "import sys; from metalassay.machine.process_memory import peak_rss; from metalassay.training.transit import task as transit;"
        "before = peak_rss(); transit.make(0, int(sys.argv[1])); print(peak_rss() - before)"
    )
    taken = [
        int(subprocess.check_output([sys.executable, "-c", code, str(n)])) for n in (2048, 8192)
    ]
    assert taken[1] - taken[0] == pytest.approx(6144 * task.BYTES, rel=0.25)
    assert taken[0] < task.WORKING + 2048 * task.BYTES


@pytest.mark.parametrize(("mode", "shown"), [("quiet", False), ("json", False), ("bar", True)])
def test_making_the_curves_shows_a_bar_unless_it_should_be_quiet(
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
    given |= {"accumulate": 1, "device": "cpu", "output": str(tmp_path), "resume": False}
    with pytest.raises(UserError, match="enough"):
        commands.train_transit(given)
    said = capsys.readouterr()
    assert ("making light curves" in said.err) == shown
    assert said.out == ""
