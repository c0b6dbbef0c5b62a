"""A trace of a loader: everything that two epochs over it let a training loop see."""

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
# What the stock library raises on some of these loaders, and the patched one must raise alike.
RAISED = (AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError)


class Log:
    """What the dataset sees: each read, with the batches still alive then, and each set_epoch."""

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
    """Return a collate_fn; "none" is the one whose batches are legitimately None."""
    calls = iter(range(10**6))
    if kind == "none":
        return lambda rows: None
    if kind == "none-first":
        return lambda rows: None if next(calls) == 0 else torch.stack(list(rows))
    if kind == "dict":
        return lambda rows: {"x": torch.stack(list(rows)), "n": len(rows)}
    return None


def make(case: Case, log: Log, generator: Any) -> Any:
    """Return the case's loader as accelerate hands it out."""
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
    """Return a value that compares by content, types included."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), hash(value.numpy().tobytes()))
    if isinstance(value, dict):
        return {key: frozen(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, *map(frozen, value))
    return (type(value).__name__, repr(value))


def states(loader: Any) -> tuple[Any, ...]:
    """Return what a training loop, an Accelerator or a checkpoint may ask in between."""
    gradients = GradientState()
    own = ("end_of_dataloader", "remainder", "iteration", "skip_batches")
    return (
        *(getattr(loader, name, "absent") for name in own),
        *(gradients.in_dataloader, gradients.end_of_dataloader, gradients.remainder),
        *(gradients.active_dataloader is loader, len(gradients.dataloader_references)),
        frozen(getattr(loader, "dl_state_dict", None)),
    )


def run(case: Case, loader: Any, log: Log, inner: Any = None) -> Iterator[Any]:
    """Loop over the loader once, as a user would, and say what can be seen."""
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
    yield ("let go", *states(loader))


def trace(case: Case) -> list[Any]:
    """Return all that two epochs over the case's loader show."""
    accelerate_state.reset("GradientState")
    torch.set_rng_state(SEED)
    # A dispatcher asks the state how many processes there are; the first one needs no other.
    with pytest.MonkeyPatch.context() as patch:
        if case.dispatch:
            patch.setattr(PartialState(), "num_processes", case.processes)
        return list(two_epochs(case))


def two_epochs(case: Case) -> Iterator[Any]:
    """Make the loader and loop; a stateful one is then resumed, unless at its end: that is empty."""
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
