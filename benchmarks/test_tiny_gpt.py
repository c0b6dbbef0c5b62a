"""How fast three sizes of a GPT-2-like model learn from, and score, whole contexts of tokens.

Scoring is one pass over the context: generating token by token, with its cache, is another thing.
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
    benchmark: BenchmarkFixture, workload: Workload, settle: Callable[[], None]
) -> None:
    benchmark(workload.step)
    settle()
