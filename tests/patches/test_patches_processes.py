"""Patches under threads, forks, spawned children and pickles."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from accelerate import Accelerator, data_loader  # noqa: E402
from accelerate.state import GradientState  # noqa: E402
from torch.utils.data import DataLoader, IterableDataset  # noqa: E402

from metalassay.patches import accelerate_empty_dispatcher as dispatcher  # noqa: E402
from metalassay.patches import accelerate_empty_epoch as epoch  # noqa: E402
from metalassay.patches import accelerate_empty_shard as shard  # noqa: E402
from metalassay.testing import accelerate_state  # noqa: E402

pytestmark = pytest.mark.slow

OWNERS = (data_loader.DataLoaderShard, data_loader.DataLoaderDispatcher)
ROWS = [[0.0, 1.0], [2.0, 3.0], [4.0]]


class Stream(IterableDataset):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[float]:
        return (float(row) for row in range(5))


@contextmanager
def patched() -> Iterator[None]:
    with ExitStack() as stack:
        for each in (shard, dispatcher, epoch):
            stack.enter_context(each.patch())
        yield


@pytest.fixture(autouse=True)
def _one_process() -> Iterator[None]:
    Accelerator(cpu=True)
    yield
    accelerate_state.reset()


@pytest.fixture(params=[False, True], ids=["shard", "dispatcher"])
def loader(request: pytest.FixtureRequest) -> Any:
    rows: Any = Stream() if request.param else torch.arange(5.0)
    return data_loader.prepare_data_loader(
        DataLoader(rows, batch_size=2),
        device=torch.device("cpu"),
        put_on_device=True,
        dispatch_batches=request.param,
    )


def rows(loader: Any) -> list[list[float]]:
    return [batch.tolist() for batch in loader]


def test_a_loader_yields_its_batches_while_another_thread_enters_and_leaves_patches(
    loader: Any,
) -> None:
    stock = [owner.__iter__ for owner in OWNERS]
    done, seen = threading.Event(), set()

    def enter_and_leave() -> None:
        while not done.is_set():
            with patched():
                seen.add(OWNERS[0].__iter__ is stock[0])

    threads = [threading.Thread(target=enter_and_leave) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert all(rows(loader) == ROWS for _ in range(200))
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert seen == {False}, "every thread saw the patched loader"
    assert [owner.__iter__ for owner in OWNERS] == stock


def test_two_threads_loop_over_two_patched_loaders(
    loader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The list of active loaders belongs to the process, and upstream does not lock it.
    monkeypatch.setattr(GradientState, "_add_dataloader", lambda self, loader: None)
    monkeypatch.setattr(GradientState, "_remove_dataloader", lambda self, loader: None)
    loaders, found = [loader, pickle.loads(pickle.dumps(loader))], []  # noqa: S301
    barrier = threading.Barrier(2)

    def loop(mine: Any) -> None:
        barrier.wait()
        for _ in range(100):
            with patched():
                found.append(rows(mine))

    threads = [threading.Thread(target=loop, args=[each]) for each in loaders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [ROWS] * 200


def test_a_loop_continues_when_a_patch_is_removed_or_added(loader: Any) -> None:
    with patched():
        started_inside = iter(loader)
        first = next(started_inside)
    assert [batch.tolist() for batch in (first, *started_inside)] == ROWS
    started_outside = iter(loader)
    first = next(started_outside)
    with patched():
        assert [batch.tolist() for batch in (first, *started_outside)] == ROWS
    assert not GradientState().in_dataloader


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_can_loop_and_use_patches(loader: Any) -> None:
    stock = [owner.__iter__ for owner in OWNERS]
    readable, writable = os.pipe()
    with patched():
        child = os.fork()
        if child == 0:  # whatever happens here, pytest must not continue in the child
            try:
                with patched():
                    result = [rows(loader), rows(loader)]
                os.write(writable, json.dumps(result).encode())
            finally:
                os._exit(0)
        os.close(writable)
        with os.fdopen(readable, "rb") as answer:
            assert json.loads(answer.read() or b"null") == [ROWS, ROWS]
        os.waitpid(child, 0)
        assert rows(loader) == ROWS
    assert [owner.__iter__ for owner in OWNERS] == stock


def test_a_pickled_loader_is_patched_only_while_the_patch_is_active(loader: Any) -> None:
    before = pickle.dumps(loader)
    with patched():
        assert rows(loader) == ROWS
        inside = pickle.dumps(loader)
        assert rows(pickle.loads(before)) == ROWS  # noqa: S301
        assert rows(pickle.loads(inside)) == ROWS  # noqa: S301
    assert rows(pickle.loads(inside)) == ROWS  # noqa: S301
    assert b"metalassay" not in inside, "loading it must not need metalassay"


def send_rows(loader: Any, answers: Any) -> None:
    answers.send(rows(loader))


def test_a_spawned_child_can_use_the_loader_of_a_patched_process() -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    with patched():
        loader = Accelerator(cpu=True).prepare(DataLoader(torch.arange(5.0), batch_size=2))
        child = context.Process(target=send_rows, args=(loader, theirs))
        child.start()
        theirs.close()
        assert ours.recv() == ROWS  # EOFError: the child died
        child.join()
