"""The largest number of threads that we give torch."""

from __future__ import annotations

import os

import pytest

from metalassay.machine import thread_limit


@pytest.mark.parametrize(("cores", "threads"), [(8, 32), (1, 4), (None, 4)])
def test_the_limit_is_four_threads_per_core(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, threads: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert thread_limit.maximum() == threads
