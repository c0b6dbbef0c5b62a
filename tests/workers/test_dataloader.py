"""Which DataLoader setting is recommended, from made-up timings; and one real try."""

from __future__ import annotations

import pytest

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
