"""The speed of the two-branch CNN and the three GPTs in MLX, by the same rule as in PyTorch.

The same weights, batch, loss and optimiser; see ``metalassay.workloads.mlx_registry``. MLX computes on the GPU
of a Mac, or with --device cpu on its CPU; elsewhere on the CPU, which says nothing about a Mac. The
arithmetic and traffic are those that PyTorch needs for the same step on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from metalassay.errors import UserError

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from metalassay.workloads.flop_counter import Counts
    from metalassay.workloads.registry import Workload


@pytest.fixture
def workload(
    name: str, mode: str, batch_size: int, dtype: str, pytestconfig: pytest.Config
) -> Workload:
    """Build the workload in MLX, or skip the benchmark where MLX is not installed or cannot run it."""
    from metalassay.workloads import mlx_registry
    from metalassay.workloads.registry import get

    if dtype != mlx_registry.DTYPE:
        pytest.skip(f"mlx has no autocast: it is timed in {mlx_registry.DTYPE}")
    try:
        where = mlx_registry.device(pytestconfig.getoption("--device"))
    except UserError as error:
        pytest.skip(error.message)
    return mlx_registry.make(get(name), mode, where, batch_size)


@pytest.fixture
def facts(
    workload: Workload,
    disagreements: dict[str, str],
    facts_of: Callable[[Workload, Counts, str | None], dict[str, Any]],
) -> dict[str, Any]:
    """Return the ``extra_info``, counted on PyTorch's copy on the CPU, and warm the workload up."""
    from metalassay.measure.device import resolve
    from metalassay.workloads.flop_counter import compulsory, count
    from metalassay.workloads.mlx_parity import disagreement
    from metalassay.workloads.registry import get, make

    w, key = workload, f"mlx {workload.name}"
    if key not in disagreements:
        disagreements[key] = disagreement(get(w.name))
    counts = count(make(get(w.name), w.mode, resolve("cpu"), w.dtype, w.batch_size).step)
    return {
        **facts_of(w, counts, disagreements[key]),
        "compulsory_bytes_per_call": compulsory(get(w.name), w),
    }


@pytest.mark.workloads("transit-cnn", "gpt-tiny", "gpt-small", "gpt-original")
def test_mlx(
    benchmark: BenchmarkFixture, workload: Workload, check_and_record: Callable[[], None]
) -> None:
    benchmark(workload.step)
    check_and_record()
