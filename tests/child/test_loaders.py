"""An empty pass in an own loop is said once for each loader, and the program goes on."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from child_run import Ended, run

pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.slow

LOOP = """
from accelerate import Accelerator
from torch.utils.data import DataLoader, IterableDataset
class Stream(IterableDataset):
    def __iter__(self): return iter(())
def prepared(rows, **options):
    return Accelerator(cpu=True).prepare(DataLoader(rows, **options))
"""


def loops(code: str, **config: Any) -> Ended:
    ended = run([sys.executable, "-c", LOOP + code], **config)
    assert ended.code == 0, ended.err
    return ended


def said(ended: Ended) -> list[str]:
    return [line for line in ended.err.splitlines() if line.startswith("metalassay: ")]


def test_each_empty_loader_is_said_once_with_its_cause() -> None:
    ended = loops("""
few = prepared([1, 2, 3], batch_size=4, drop_last=True)
stream = prepared(Stream())
for _ in range(3):
    assert list(few) == list(stream) == []
""")
    texts = [each["text"] for each in ended.of("empty loader")]
    assert texts == [
        "3 rows, one batch needs 4, and drop_last drops the incomplete batch",
        "the dataset is an iterable, and it yielded nothing",
    ]
    lines = [f"metalassay: a pass over a loader yielded no batch: {text} (" for text in texts]
    assert len(said(ended)) == 2
    assert all(line.startswith(start) for line, start in zip(said(ended), lines, strict=True))


def test_a_loader_with_batches_is_unchanged_and_nothing_is_said() -> None:
    ended = loops("""
import gc, weakref
loader = prepared([1, 2, 3], batch_size=2)
assert [batch.tolist() for batch in loader] == [[1, 2], [3]]
passing = iter(loader)
first = weakref.ref(next(passing))
next(passing)
gc.collect()
assert first() is None
passing.close()
""")
    assert said(ended) == []
    assert ended.of("empty loader") == []


def test_without_the_guard_nothing_is_said() -> None:
    ended = loops("assert list(prepared(Stream())) == []", guard=False)
    assert said(ended) == []
    assert ended.of("empty loader") == []


def test_a_loader_that_cannot_be_explained_is_no_error_of_the_program() -> None:
    ended = loops("""
class Odd(DataLoader):
    @property
    def dataset_kind(self): raise ZeroDivisionError
    def __len__(self): raise ZeroDivisionError("odd")
loader = prepared([1, 2, 3], batch_size=4, drop_last=True)
import metalassay.guard
def fails(loader): raise ZeroDivisionError("odd")
metalassay.guard.why_empty = fails
assert list(loader) == []
""")
    assert said(ended) == [
        "metalassay: an error of metalassay, not of the program: ZeroDivisionError: odd"
    ]
