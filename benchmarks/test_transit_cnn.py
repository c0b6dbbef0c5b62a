"""The speed of the two-branch CNN, training on and classifying light curves that are on the device.

Deliberately excluded: loading data, moving it to the device, schedules and checkpoints.
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
    benchmark: BenchmarkFixture, workload: Workload, check_and_record: Callable[[], None]
) -> None:
    benchmark(workload.step)
    check_and_record()
