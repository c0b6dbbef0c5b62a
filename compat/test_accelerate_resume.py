"""What accelerate restores from a saved state."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest

from metalassay.environment import versions
from metalassay.testing import ranks

if not {"accelerate", "torch"} <= versions.installed().keys():
    pytest.skip("accelerate or torch is not installed", allow_module_level=True)

# An installed package that cannot be imported is an error, not a skip.
import accelerate
import torch
from accelerate import data_loader
from torch.utils.data import DataLoader

STATE = "accelerate-load-state-drops-rng"
STEP = "accelerate-load-state-keyerror-step"
STATEFUL = "accelerate-stateful-two-ranks-resume"


@pytest.mark.bug(STATE, symptom="unpickling")
def test_loading_a_state_does_not_fail(upstream: str, tmp_path: Path) -> None:
    accelerator = accelerate.Accelerator(cpu=True)
    accelerator.save_state(str(tmp_path / "state"))
    accelerator.load_state(str(tmp_path / "state"))


@pytest.mark.bug(STATE, symptom="other-numbers")
def test_loading_a_state_continues_the_random_numbers(upstream: str, tmp_path: Path) -> None:
    accelerator = accelerate.Accelerator(cpu=True)
    accelerator.save_state(str(tmp_path / "state"))
    want = torch.rand(3).tolist()
    try:
        accelerator.load_state(str(tmp_path / "state"))
    except pickle.UnpicklingError as error:
        pytest.skip(f"load_state fails, which has its own test: {error}")
    got = torch.rand(3).tolist()
    assert got == want, f"drew {got} after loading, not {want}"


@pytest.mark.bug(STEP, symptom="key-error")
def test_loading_a_state_finds_the_number_of_steps(upstream: str, tmp_path: Path) -> None:
    accelerator = accelerate.Accelerator(cpu=True)
    accelerator.save_state(str(tmp_path / "state"))
    try:
        accelerator.load_state(str(tmp_path / "state"))
    except pickle.UnpicklingError as error:
        pytest.skip(f"load_state fails, which has its own test: {error}")


def resumed(workers: int) -> tuple[list[Any], list[Any]]:
    """Return what a resumed loader yields, and the rest of the epoch that it should yield."""
    accelerator = accelerate.Accelerator(cpu=True)
    rows: Any = range(16)

    def loader() -> Any:
        return data_loader.prepare_data_loader(
            DataLoader(rows, batch_size=2, num_workers=workers),
            accelerator.device,
            put_on_device=True,
            use_stateful_dataloader=True,
        )

    first = loader()
    batches = iter(first)
    next(batches)
    next(batches)
    state = first.state_dict()
    want = [batch.tolist() for batch in batches]
    again = loader()
    again.load_state_dict(state)
    return [batch.tolist() for batch in again], want


def resumed_in_two_ranks(workers: int) -> list[Any]:
    parameters = inspect.signature(data_loader.prepare_data_loader).parameters
    if "use_stateful_dataloader" not in parameters or "torchdata" not in versions.installed():
        pytest.skip("this accelerate has no stateful loaders, or torchdata is not installed")
    return ranks.values(ranks.run(resumed, workers, limit=120))


@pytest.mark.slow
@pytest.mark.bug(STATEFUL, symptom="repeated-batch")
def test_a_stateful_loader_resumes_in_two_ranks(upstream: str) -> None:
    for got, want in resumed_in_two_ranks(workers=0):
        assert got == want, f"resumed with {got}, not {want}"


@pytest.mark.slow
@pytest.mark.bug(STATEFUL, symptom="key-error")
def test_a_stateful_loader_with_a_worker_resumes_in_two_ranks(upstream: str) -> None:
    for got, want in resumed_in_two_ranks(workers=1):
        assert got == want, f"resumed with {got}, not {want}"
