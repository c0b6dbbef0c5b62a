"""Which DataLoader setting is recommended, from made-up timings; and one real try."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay.errors import UserError
from metalassay.workers import dataloader
from metalassay.workers.dataloader import PRELOADED, Setting

NONE = Setting(0, 0.1, 1000.0)
TWO = Setting(2, 6.0, 2000.0)
READY = Setting(PRELOADED, 0.1, 10_000.0)


def test_workers_are_recommended_only_if_they_make_up_for_their_start() -> None:
    # 10,000 samples: 10.1 s without workers, 11 s with two; 100,000: 100.1 s and 56 s
    assert dataloader.recommend([NONE, TWO], 10_000) == NONE
    assert dataloader.recommend([NONE, TWO], 100_000) == TWO


def test_of_settings_about_as_fast_the_simpler_is_recommended() -> None:
    assert dataloader.recommend([Setting(4, 0.1, 1050.0), NONE], 10_000) == NONE
    assert dataloader.recommend([Setting(PRELOADED, 0.1, 1050.0), NONE], 10_000) == NONE


def test_preloading_is_recommended_if_it_is_faster() -> None:
    assert dataloader.recommend([NONE, TWO, READY], 100_000) == READY


def test_a_setting_that_failed_is_not_recommended() -> None:
    failed = Setting(4, None, None, "no answer within 60 s")
    assert dataloader.recommend([failed, NONE], 10) == NONE
    assert dataloader.recommend([failed], 10) is None
    assert failed.seconds(1) == float("inf")


def test_contenders_include_both_guides_and_preloaded_tensors() -> None:
    assert dataloader.contenders(cores=2) == (PRELOADED, 0, 1, 2, 4)
    assert dataloader.contenders(cores=10) == (PRELOADED, 0, 1, 2, 4, 8)


def test_every_setting_is_timed_and_the_length_of_the_run_decides() -> None:
    tried: list[int] = []

    def measure_setting(workers: int) -> Setting:
        tried.append(workers)
        return {0: NONE, 2: TWO}[workers]

    settings, best = dataloader.tune(8, 1000, 100, measure_setting=measure_setting, workers=(0, 2))
    assert (settings, best, tried) == ((NONE, TWO), TWO, [0, 2])
    with pytest.raises(ValueError, match="must be at least 1"):
        dataloader.tune(0, 1, 1, measure_setting=measure_setting)


def test_a_setting_that_takes_too_long_is_ended() -> None:
    found = dataloader.measure(0, batch=2, samples=10, timeout=0.05)
    assert (found.per_second, found.why) == (None, "no result within 0.05 s")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [PRELOADED, 0])
def test_a_real_measurement_has_a_rate(workers: int) -> None:
    found = dataloader.measure(workers, batch=2, samples=10, seconds=0.05)
    assert found.why == ""
    assert found.per_second is not None
    assert found.per_second > 0


@pytest.mark.slow
def test_a_failing_setting_has_a_reason() -> None:
    found = dataloader.measure(0, batch=0, samples=10, seconds=0.05)
    assert "batch_size should be a positive integer" in found.why


MINE = """
import torch
print("hello")
class Mine(torch.utils.data.Dataset):
    def __len__(self):
        return 30
    def __getitem__(self, at):
        return {"x": torch.full((4,), float(at)), "y": at % 3, "name": f"row {at}"}
class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(range(3))
empty = []
dataset = Mine()
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "data_of_mine.py"
    path.write_text(MINE, "utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("workers", [PRELOADED, 0, 1])
def test_a_dataset_of_the_user_is_loaded(mine: Path, workers: int) -> None:
    """Also by a worker that is spawned, which imports the file by its name."""
    of = dataloader.data(f"{mine}:Mine")
    found = dataloader.measure(workers, batch=4, samples=30, seconds=0.05, timeout=300, of=of)
    assert found.why == ""
    assert found.per_second is not None
    assert found.per_second > 0


@pytest.mark.slow
def test_samples_are_counted_and_what_is_no_dataset_is_refused(mine: Path) -> None:
    assert dataloader.length(dataloader.data(f"{mine}:dataset"), 0, 300) == 30
    for name, words in (
        ("Stream", "Stream is no Dataset with a length"),
        ("nothing", "defines no nothing"),
        ("empty", "empty has no samples"),
    ):
        with pytest.raises(UserError, match=words):
            dataloader.length(dataloader.data(f"{mine}:{name}"), 0, 300)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("transit-cnn", "is no Python file and a Dataset in it"),
        ("missing.py:data", "is no Python file and a Dataset in it"),
        ("{folder}/data_of_mine.py:", "is no Python file and a Dataset in it"),
        ("{folder}/not-a-name.py:data", "worker processes cannot import"),
    ],
)
def test_what_is_no_file_with_a_dataset_is_refused(mine: Path, text: str, words: str) -> None:
    (mine.parent / "not-a-name.py").write_text("data = [1]", "utf-8")
    with pytest.raises(UserError, match=words):
        dataloader.data(text.format(folder=mine.parent))
