"""How accelerate's loaders count epochs."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from metalassay.environment import versions

if not {"accelerate", "torch"} <= versions.installed().keys():
    pytest.skip("accelerate or torch is not installed", allow_module_level=True)

# An installed package that cannot be imported is an error, not a skip.
import accelerate
import torch
from accelerate import data_loader
from torch.utils.data import DataLoader, IterableDataset, Sampler

EMPTY_EPOCH = "accelerate-empty-epoch"


class FillsLater(IterableDataset[int]):
    """A stream that is empty in epoch 0 and has two rows later, like a replay buffer or a curriculum."""

    def __init__(self) -> None:
        self.epoch = 0
        self.asked: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self.asked.append(epoch)

    def __iter__(self) -> Iterator[int]:
        return iter([7, 7] if self.epoch else [])


def sharded(rows: Any, **options: Any) -> Any:
    if not hasattr(data_loader.DataLoaderShard, "set_epoch"):
        pytest.skip("the loaders of this accelerate do not count epochs")
    accelerate.Accelerator(cpu=True)
    return data_loader.prepare_data_loader(DataLoader(rows), dispatch_batches=False, **options)


@pytest.mark.bug(EMPTY_EPOCH, symptom="epoch-stuck")
def test_an_empty_epoch_is_counted(upstream: str) -> None:
    rows = FillsLater()
    loader = sharded(rows)
    for _ in range(3):
        deque(loader, maxlen=0)
    assert rows.asked == [0, 1, 2], f"asked for epochs {rows.asked}"


@pytest.mark.bug(EMPTY_EPOCH, symptom="end-of-dataloader")
def test_a_loader_is_at_its_end_after_an_empty_epoch(upstream: str) -> None:
    loader = sharded([])
    deque(loader, maxlen=0)
    assert loader.end_of_dataloader, "an empty epoch left end_of_dataloader False"


@pytest.mark.bug(EMPTY_EPOCH, symptom="stateful")
def test_a_stateful_loader_has_finished_after_an_empty_epoch(upstream: str) -> None:
    parameters = inspect.signature(data_loader.prepare_data_loader).parameters
    if "use_stateful_dataloader" not in parameters or "torchdata" not in versions.installed():
        pytest.skip("this accelerate has no stateful loaders, or torchdata is not installed")
    loader = sharded([], use_stateful_dataloader=True)
    deque(loader, maxlen=0)
    finished = loader.state_dict()["_iterator_finished"]
    assert finished, "an empty epoch left _iterator_finished False"


@pytest.mark.bug(EMPTY_EPOCH)
def test_epochs_with_data_are_counted(upstream: str) -> None:
    rows = FillsLater()
    loader = sharded(rows)
    loader.set_epoch(1)
    assert [len(list(loader)) for _ in range(2)] == [2, 2]
    assert rows.epoch == 2


class ByEpoch(Sampler[int]):
    """A sampler whose order depends only on the epoch, like DistributedSampler."""

    def __init__(self) -> None:
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 8

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.epoch)
        return iter(torch.randperm(8, generator=generator).tolist())


@pytest.mark.bug("accelerate-skip-forgets-epoch", symptom="epoch-zero")
def test_a_resume_in_epoch_one_continues_epoch_one(upstream: str) -> None:
    if not hasattr(data_loader.DataLoaderShard, "set_epoch"):
        pytest.skip("the loaders of this accelerate do not count epochs")
    accelerator = accelerate.Accelerator(cpu=True)
    rows: Any = range(8)
    straight, resumed = (
        accelerator.prepare(DataLoader(rows, batch_size=2, sampler=ByEpoch())) for _ in "ab"
    )
    straight.set_epoch(1)
    want = [batch.tolist() for batch in straight][2:]
    resumed.set_epoch(1)
    got = [batch.tolist() for batch in data_loader.skip_first_batches(resumed, 2)]
    assert got == want, f"resumed with {got}, not {want}"
