"""The choice of the core to which processes are pinned."""

from __future__ import annotations

import os
import sys

import psutil
import pytest

from metalassay.workers import cpu_pinning, specs
from metalassay.workers.specs import Arm


def test_the_idlest_core_is_chosen_and_the_last_of_equal_ones() -> None:
    before, now = {0: 100.0, 1: 50.0, 2: 7.0}, {0: 104.0, 1: 50.5, 2: 8.0}
    assert cpu_pinning.idlest((0, 1, 2), before, now) == 0
    assert cpu_pinning.idlest((1, 2), before, now) == 2
    assert cpu_pinning.idlest((0, 1, 2), {}, {0: 3.0, 1: 3.0}) == 1


def test_only_single_threaded_work_on_the_cpu_can_be_pinned() -> None:
    one, two, mps = (
        Arm("", specs.parse(f"transit-cnn:train:{options}"), sys.executable)
        for options in ("threads=1", "threads=2", "device=mps")
    )
    assert cpu_pinning.possible(one, one)
    assert not cpu_pinning.possible(one, two)
    assert not cpu_pinning.possible(mps, one)


def test_idle_seconds_are_reported_for_every_core() -> None:
    assert set(cpu_pinning.idle_seconds()) == set(range(psutil.cpu_count() or 0))


def test_the_core_is_chosen_by_what_was_idle_while_watching(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings = iter([{0: 10.0, 1: 90.0}, {0: 10.15, 1: 90.01}])
    monkeypatch.setattr(cpu_pinning, "idle_seconds", lambda: next(readings))
    monkeypatch.setattr(cpu_pinning, "WATCH_SECONDS", 0)
    assert cpu_pinning.choose((0, 1)) == 0


def test_a_system_without_affinity_allows_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cpu_pinning.allowed() == ()
