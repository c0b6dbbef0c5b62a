"""How fast the two-branch CNN learns from, and judges, light curves that are already in memory.

Left out on purpose: loading data, moving it to the device, schedules and checkpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

    from metalassay.workloads.registry import Workload


@pytest.mark.workloads("transit-cnn")
def test_transit_cnn(
    benchmark: BenchmarkFixture, workload: Workload, settle: Callable[[], None]
) -> None:
    benchmark(workload.step)
    settle()
