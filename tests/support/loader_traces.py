"""Trace a loader: record everything that a training loop can observe in two epochs."""

from __future__ import annotations

import dataclasses
import inspect
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from accelerate import data_loader
from accelerate.state import GradientState, PartialState
from loader_cases import Case
from torch.utils.data import DataLoader, Dataset, IterableDataset

from metalassay.testing import accelerate_state

CPU = torch.device("cpu")
SEED = torch.Generator().manual_seed(1).get_state()
# Exceptions that the stock library raises for some of these loaders; the patched one must too.
RAISED = (AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError)


class Log:
    """A log of the dataset: each read, with the number of batches still alive, and each set_epoch."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.batches: list[weakref.ref[Any]] = []

    def read(self, index: int) -> Any:
        self.seen.append((index, sum(batch() is not None for batch in self.batches)))
        return torch.tensor([float(index), -1.0])


class Rows(Dataset):  # type: ignore[type-arg]
    def __init__(self, length: int, log: Log) -> None:
        self.length = length
        self.log = log

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return self.log.read(index)


class Stream(IterableDataset):  # type: ignore[type-arg]
    def __init__(self, length: int, log: Log) -> None:
        self.length = length
        self.log = log

    def __iter__(self) -> Iterator[Any]:
        return (self.log.read(index) for index in range(self.length))


class RowsOfEpochs(Rows):
    def set_epoch(self, number: int) -> None:
        self.log.seen.append(("epoch", number))


class StreamOfEpochs(Stream):
    set_epoch = RowsOfEpochs.set_epoch


DATASETS = {
    "map": Rows,
    "map-epochs": RowsOfEpochs,
    "iterable": Stream,
    "iterable-epochs": StreamOfEpochs,
}


def collator(kind: str) -> Callable[[Any], Any] | None:
    """Return a collate_fn; with "none" batches are legitimately None."""
    calls = iter(range(10**6))
    if kind == "none":
        return lambda rows: None
    if kind == "none-first":
        return lambda rows: None if next(calls) == 0 else torch.stack(list(rows))
    if kind == "dict":
        return lambda rows: {"x": torch.stack(list(rows)), "n": len(rows)}
    return None


def make(case: Case, log: Log, generator: Any) -> Any:
    """Return the case's loader as accelerate prepares it."""
    kwargs: dict[str, Any] = {
        "batch_size": case.batch_size,
        "drop_last": case.drop_last,
        "collate_fn": collator(case.collate),
        "generator": generator,
    }
    if case.shuffle:
        kwargs["shuffle"] = True
    rows = DATASETS[case.dataset](case.length, log)
    extra: dict[str, Any] = {"use_stateful_dataloader": True} if case.stateful else {}
    if case.route == "shard":
        extra |= {"rng_types": [case.rng]} if case.rng == "torch" else {}
        device = CPU if case.put else None
        return data_loader.DataLoaderShard(
            rows, device=device, skip_batches=case.skip, **kwargs, **extra
        )
    if "use_seedable_sampler" in inspect.signature(data_loader.prepare_data_loader).parameters:
        extra["use_seedable_sampler"] = case.seedable
    loader = data_loader.prepare_data_loader(
        DataLoader(rows, **kwargs),
        device=CPU,
        num_processes=case.processes,
        process_index=case.process,
        split_batches=case.split,
        put_on_device=case.put,
        rng_types=[case.rng] if case.rng else None,
        dispatch_batches=case.dispatch,
        **extra,
    )
    return data_loader.skip_first_batches(loader, case.skip) if case.skip else loader


def frozen(value: Any) -> Any:
    """Return a value that compares by content and type."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), hash(value.numpy().tobytes()))
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, *map(frozen, value))
    return (type(value).__name__, repr(value))


def states(loader: Any) -> tuple[Any, ...]:
    """Return the state that a training loop, an Accelerator or a checkpoint may read."""
    gradients = GradientState()
    own = ("end_of_dataloader", "remainder", "iteration", "skip_batches")
    return (
        *(getattr(loader, name, "absent") for name in own),
        *(gradients.in_dataloader, gradients.end_of_dataloader, gradients.remainder),
        *(gradients.active_dataloader is loader, len(gradients.dataloader_references)),
        frozen(getattr(loader, "dl_state_dict", None)),
    )


def run(case: Case, loader: Any, log: Log, inner: Any = None) -> Iterator[Any]:
    """Iterate over the loader once, as a user would, and yield what can be observed."""
    iterator, count = iter(loader), 0
    while count != case.stop:
        yield states(loader)
        try:
            batch = next(iterator)
        except StopIteration:
            break
        except RAISED as error:
            yield (type(error), str(error))
            break
        count += 1
        yield (frozen(batch), *states(loader), len(log.seen))
        tensor = batch.get("x") if isinstance(batch, dict) else batch
        if isinstance(tensor, torch.Tensor):
            log.batches.append(weakref.ref(tensor))
        del batch, tensor
        if inner is not None and count == 1:
            yield from run(dataclasses.replace(case, stop=None), inner, log)
    yield ("left", *states(loader))
    del iterator
    yield ("released", *states(loader))


def trace(case: Case) -> list[Any]:
    """Return everything observed in two epochs over the case's loader."""
    accelerate_state.reset("GradientState")
    torch.set_rng_state(SEED)
    # A dispatcher reads the number of processes from the state; process 0 needs no other process.
    with pytest.MonkeyPatch.context() as patch:
        if case.dispatch:
            patch.setattr(PartialState(), "num_processes", case.processes)
        return list(two_epochs(case))


def two_epochs(case: Case) -> Iterator[Any]:
    """Make the loader and iterate; then resume a stateful one, unless it is at its end and so empty."""
    log, generator = Log(), torch.Generator().manual_seed(2)
    try:
        loader = make(case, log, generator)
        inner = make(case, log, generator) if case.nested else None
    except RAISED as error:
        yield (type(error), str(error))
        return
    for _ in range(2):
        yield from run(case, loader, log, inner)
    if case.stateful and not loader.end_of_dataloader:
        resumed = make(case, log, generator)
        resumed.load_state_dict(loader.state_dict())
        yield from run(case, resumed, log)
    yield from (log.seen, frozen(torch.get_rng_state()), frozen(generator.get_state()))
