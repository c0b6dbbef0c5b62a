"""The speed of three sizes of a GPT-2-like model, training on and scoring full contexts of tokens.

Scoring is one pass over the context, unlike generation, which goes token by token with a cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

    from metalassay.workloads.registry import Workload


@pytest.mark.workloads("gpt-tiny", "gpt-small", "gpt-original")
def test_tiny_gpt(
    benchmark: BenchmarkFixture, workload: Workload, check_and_record: Callable[[], None]
) -> None:
    benchmark(workload.step)
    check_and_record()
