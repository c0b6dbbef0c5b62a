"""On loaders that have batches the patches change nothing: seeded traces, stock against patched.

A trace is everything a loop over a loader lets one see. The stock library makes one for each case;
with a patch on it must come out equal, bit for bit. The last test breaks a patch on purpose.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import inspect
import itertools
import math
import random
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from accelerate import Accelerator, data_loader  # noqa: E402
from accelerate.state import GradientState, PartialState  # noqa: E402
from torch.utils.data import DataLoader, Dataset, IterableDataset  # noqa: E402

from metalassay.patches import accelerate_empty_dispatcher as dispatcher  # noqa: E402
from metalassay.patches import accelerate_empty_epoch as epoch  # noqa: E402
from metalassay.patches import accelerate_empty_shard as shard  # noqa: E402
from metalassay.patches.layers import layer  # noqa: E402

# torchdata's own
pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")

CASES, STATEFUL_CASES = 1000, 150
CPU = torch.device("cpu")
SEED = torch.Generator().manual_seed(1).get_state()
# What the stock library raises on some of these loaders, and the patched one must raise alike.
RAISED = (AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError)


@dataclasses.dataclass(frozen=True)
class Case:
    """A loader with at least one batch, and how it is used."""

    dataset: str  # map | map-epochs | iterable | iterable-epochs, "epochs" when it has set_epoch
    length: int
    batch_size: int | None
    drop_last: bool
    shuffle: bool
    collate: str  # tensor | dict | none | none-first
    route: str  # prepare, then skip_first_batches | DataLoaderShard(skip_batches=...)
    skip: int
    put: bool  # on the device
    dispatch: bool
    split: bool
    processes: int
    process: int
    seedable: bool
    rng: str | None
    stop: int | None  # break after so many batches
    nested: bool  # a second loader is run through inside the first batch
    stateful: bool

    def has_batches(self) -> bool:
        """Say whether this process gets a batch; a loader without any is the bug itself."""
        whole = math.floor if self.drop_last else math.ceil
        shares = self.processes if not self.split else 1
        skipped = self.skip if self.route == "prepare" and "map" in self.dataset else 0
        if self.dispatch:  # skips from all batches, then deals them out
            return whole((whole(self.length / (self.batch_size or 1)) - skipped) / shares) > 0
        if "iterable" in self.dataset:  # deals out rows
            return whole(self.length / (self.batch_size or 1) / shares) > 0
        return whole(whole(self.length / (self.batch_size or 1)) / shares) - skipped > 0

    def makes_sense(self) -> bool:
        """Say whether torch and accelerate accept the combination at all."""
        sized = self.batch_size is not None or not (self.drop_last or self.split)
        shared = self.batch_size is not None and self.route == "prepare"
        return (
            sized
            and (self.put or not self.dispatch)
            and not (self.shuffle and "iterable" in self.dataset)
            and (self.route == "prepare" or not (self.dispatch or self.split or self.seedable))
            and (self.processes == 1 or shared)
            and not (self.dispatch and self.process)  # it would wait for the first one
            and not (self.split and self.processes == 2 and (self.batch_size or 1) % 2)
            and not (self.stateful and self.route == "prepare" and self.skip)
        )


def cases(count: int, stateful: bool) -> list[Case]:
    """Return so many different cases, always the same ones."""
    dice = random.Random(f"traces {stateful}")  # noqa: S311
    flip = (False, True)
    found: dict[Case, None] = {}
    while len(found) < count:
        processes = dice.choice((1, 1, 1, 2))
        case = Case(
            dataset=dice.choice(("map", "map", "map-epochs", "iterable", "iterable-epochs")),
            length=dice.randint(1, 7),
            batch_size=dice.choice((None, 1, 2, 3, 4)),
            drop_last=dice.choice(flip),
            shuffle=dice.choice(flip),
            collate=dice.choice(("tensor", "tensor", "dict", "none", "none-first")),
            route=dice.choice(("prepare", "prepare", "shard")),
            skip=dice.choice((0, 0, 1, 3, 99)),
            put=dice.choice(flip),
            dispatch=dice.choice(flip),
            split=dice.choice(flip),
            processes=processes,
            process=dice.randrange(processes),
            seedable=dice.choice(flip),
            rng=dice.choice((None, "torch", "generator")),
            stop=dice.choice((None, None, None, 0, 1, 2, 3)),
            nested=dice.random() < 0.2,
            stateful=stateful,
        )
        if case.makes_sense() and case.has_batches():
            found[case] = None
    return list(found)


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
    GradientState._reset_state()
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


@pytest.fixture(scope="module", autouse=True)
def _one_process() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        # accelerate reads torchdata's metadata anew for every loader: most of a trace's time.
        for name in ("metadata", "version"):
            patch.setattr(
                importlib.metadata, name, functools.cache(getattr(importlib.metadata, name))
            )
        Accelerator(cpu=True)
        yield
    GradientState._reset_state()


@pytest.fixture(scope="module")
def stock() -> dict[Case, list[Any]]:
    return {case: trace(case) for case in cases(CASES, stateful=False)}


@pytest.fixture(scope="module")
def stock_stateful() -> dict[Case, list[Any]]:
    pytest.importorskip("torchdata.stateful_dataloader")
    if not hasattr(data_loader, "DataLoaderAdapter"):
        pytest.skip("this accelerate knows no stateful loaders")
    return {case: trace(case) for case in cases(STATEFUL_CASES, stateful=True)}


def differences(expected: dict[Case, list[Any]]) -> list[Case]:
    """Return the cases whose trace is not the expected one."""
    return [case for case, events in expected.items() if trace(case) != events]


def all_of_them() -> AbstractContextManager[Any]:
    """Put all patches on; the outermost first, since the order must not matter."""
    stack = ExitStack()
    for each in (epoch, dispatcher, shard):
        stack.enter_context(each.patch())
    return stack


PATCHES = pytest.mark.parametrize(
    "patch",
    [shard.patch, dispatcher.patch, epoch.patch, all_of_them],
    ids=["shard", "dispatcher", "epoch", "all"],
)


@PATCHES
def test_a_patch_changes_no_trace(
    patch: Callable[[], AbstractContextManager[Any]], stock: dict[Case, list[Any]]
) -> None:
    with patch():
        assert differences(stock) == []


@PATCHES
def test_a_patch_changes_no_trace_of_a_stateful_loader(
    patch: Callable[[], AbstractContextManager[Any]], stock_stateful: dict[Case, list[Any]]
) -> None:
    with patch():
        assert differences(stock_stateful) == []


def test_the_cases_hold_every_value_many_times(stock: dict[Case, list[Any]]) -> None:
    assert len(stock) == CASES
    for field in dataclasses.fields(Case):
        seen = Counter(getattr(case, field.name) for case in stock)
        assert field.name == "stateful" or len(seen) > 1
        assert min(seen.values()) >= 25, f"{field.name}: {seen}"
    assert sum(len(events) > 4 for events in stock.values()) >= 0.95 * CASES, "most loaders run"


def none_taken_for_the_end(below: Any) -> Any:
    def __iter__(self: Any) -> Iterator[Any]:  # noqa: N807
        iterator = below(self)
        first = next(iterator, None)
        if first is not None:
            yield first
            del first
            yield from iterator

    return __iter__


def first_one_twice(below: Any) -> Any:
    def __iter__(self: Any) -> Iterator[Any]:  # noqa: N807
        for index, batch in enumerate(below(self)):
            yield from [batch] * (2 if index == 0 else 1)

    return __iter__


def first_one_held(below: Any) -> Any:
    def __iter__(self: Any) -> Iterator[Any]:  # noqa: N807
        iterator = below(self)
        for first in iterator:
            yield first
            yield from iterator

    return __iter__


def all_read_at_once(below: Any) -> Any:
    def __iter__(self: Any) -> Iterator[Any]:  # noqa: N807
        yield from list(below(self))

    return __iter__


@pytest.mark.parametrize(
    ("wrong", "owner"),
    [
        (none_taken_for_the_end, "DataLoaderShard"),  # a dispatcher hands out no None
        *itertools.product(
            (first_one_twice, first_one_held, all_read_at_once),
            ("DataLoaderShard", "DataLoaderDispatcher"),
        ),
    ],
)
def test_the_comparison_sees_a_patch_that_is_wrong(
    wrong: Callable[[Any], Any], owner: str, stock: dict[Case, list[Any]]
) -> None:
    some = dict(list(stock.items())[:150])
    with layer(getattr(data_loader, owner), "__iter__", wrong, level=0):
        found = differences(some)
    assert found
    assert all(case.dispatch == (owner == "DataLoaderDispatcher") for case in found)
