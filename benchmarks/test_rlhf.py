"""The speed of a step of the installed TRL's trainers: a tiny Llama, examples made from a seed.

A step is the trainer's own, with all that it does for one: loading the batch, generating and scoring of
PPO and GRPO, the optimiser. Deliberately excluded: what comes before the first step, checkpoints,
evaluation. The arithmetic and traffic of a step are those of the second one on the CPU; where answers
are generated they vary from step to step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from metalassay.bench.suite import RLHF
from metalassay.environment import versions
from metalassay.errors import UserError

if TYPE_CHECKING:
    import torch
    from pytest_benchmark.fixture import BenchmarkFixture

    from metalassay.training.rlhf.steps import Steps
    from metalassay.workloads.flop_counter import Counts
    from metalassay.workloads.registry import Workload

BATCH = 8  # texts, pairs, or answers to prompts
NEEDS = ("accelerate", "datasets", "transformers", "trl")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise as for the other workloads; there is one mode."""
    rows = [
        pytest.param(name, size, id=f"{name}-b{size}")
        for name in RLHF
        for size in metafunc.config.getoption("--batch-size") or [BATCH]
    ]
    metafunc.parametrize(("name", "batch_size"), rows)
    metafunc.parametrize("mode", ["train"])
    metafunc.parametrize("dtype", metafunc.config.getoption("--dtype") or ["float32"])


@pytest.fixture
def trainings(
    name: str, batch_size: int, dtype: str, tmp_path: Path
) -> Iterator[Callable[[torch.device], Steps]]:
    """Return what makes the training on a device; skip where the installed packages have none that works."""
    missing = sorted(set(NEEDS) - versions.installed().keys())
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install 'metalassay[rlhf]'")
    if dtype != "float32":
        pytest.skip("RLHF is timed in float32")
    from metalassay.training.rlhf import libraries, steps

    kind = name.removeprefix(steps.PREFIX)
    made: list[Steps] = []

    def make(where: torch.device) -> Steps:
        folder = tmp_path / f"{len(made)}"
        folder.mkdir()
        try:
            steps.require_batch(kind, batch_size)
            with libraries.explained():
                made.append(steps.Steps(kind, batch_size, where, folder))
                made[-1]()  # a release that is broken fails here
        except UserError as error:
            pytest.skip(str(error))
        return made[-1]

    with libraries.offline_and_quiet():
        yield make
    for one in made:
        one.close()


@pytest.fixture
def workload(measurable: torch.device, trainings: Callable[[torch.device], Steps]) -> Workload:
    from metalassay.training.rlhf import steps

    return steps.workload(trainings(measurable), versions.installed())


@pytest.fixture
def facts(
    workload: Workload,
    trainings: Callable[[torch.device], Steps],
    facts_of: Callable[[Workload, Counts, str | None], dict[str, Any]],
) -> dict[str, Any]:
    """Return the ``extra_info``. Whether a device computes what the CPU does is not tested here."""
    import torch

    counts = trainings(torch.device("cpu")).count()
    return facts_of(workload, counts, "" if workload.device.type == "cpu" else None)


@pytest.mark.usefixtures("mode")
def test_rlhf(
    benchmark: BenchmarkFixture, workload: Workload, check_and_record: Callable[[], None]
) -> None:
    from metalassay.training.rlhf.steps import Steps

    steps = workload.step
    assert isinstance(steps, Steps)
    benchmark(steps)
    tokens = steps.tokens_per_step
    check_and_record()
    benchmark.extra_info["tokens_per_call"] = tokens
