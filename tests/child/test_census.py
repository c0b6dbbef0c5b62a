"""Tensors are counted by kind, and the second count names what holds the new ones."""

from __future__ import annotations

import gc
import weakref
from collections import deque
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from metalassay.child.census import Census  # noqa: E402

HELD_BY_THE_MODULE: dict[str, list[Any]] = {"losses": []}


@pytest.fixture
def census() -> Any:
    gc.collect()
    taken = Census(torch)
    assert taken.take()["grown"] == []
    return taken


def grown(census: Any, shape: str) -> str:
    (line,) = [line for line in census.take()["grown"] if shape in line]
    return str(line)


def test_a_list_in_a_running_function_is_named_with_its_line(census: Any) -> None:
    kept = [torch.zeros(3, 7, 1) for _ in range(12)]
    line = grown(census, "[3, 7, 1]")
    start = "12 more tensors [3, 7, 1] float32 on cpu, held by list `kept` in "
    assert line.startswith(start + "test_a_list_in_a_running_function_is_named_with_its_line (")
    assert "test_census.py:" in line
    assert len(kept) == 12


def test_the_operation_that_made_them_and_a_dictionary_of_a_module_are_named(census: Any) -> None:
    parameter = torch.ones(2, 5, requires_grad=True)
    HELD_BY_THE_MODULE["losses"] = [parameter + 1 for _ in range(5)]
    try:
        line = grown(census, "AddBackward0")
    finally:
        HELD_BY_THE_MODULE["losses"] = []
    assert line.startswith(
        "5 more tensors [2, 5] float32 on cpu made by AddBackward0, held by dict"
    )
    assert "`HELD_BY_THE_MODULE` in " in line


def test_an_attribute_of_an_object_is_named_by_its_class(census: Any) -> None:
    class History:
        def __init__(self) -> None:
            self.losses = [torch.zeros(11, dtype=torch.int8) for _ in range(4)]

    history = History()
    line = grown(census, "[11]")
    assert line.startswith("4 more tensors [11] int8 on cpu, held by an attribute of ")
    assert line.endswith("History")
    assert history.losses


def test_what_was_there_before_and_what_is_gone_is_not_reported(census: Any) -> None:
    kept: deque[Any] = deque((torch.zeros(13, 2) for _ in range(3)), maxlen=3)
    census.take()
    kept.append(torch.zeros(13, 2))  # one comes, one goes
    assert not [line for line in census.take()["grown"] if "[13, 2]" in line]


def test_a_storage_that_tensors_share_is_counted_once(census: Any) -> None:
    before = census.take()
    base = torch.zeros(1_000_000)
    views = [base[i:] for i in range(5)]
    after = census.take()
    assert after["tensors"] - before["tensors"] == 6
    assert after["megabytes"] - before["megabytes"] == pytest.approx(4.0, abs=0.2)
    assert views


def test_a_count_keeps_no_tensor_alive(census: Any) -> None:
    def function() -> Any:
        kept = [torch.zeros(17, 3) for _ in range(3)]
        census.take()
        last = weakref.ref(kept[-1])
        del kept
        return last

    assert function()() is None


def test_variables_of_a_running_function_are_not_kept_alive(census: Any) -> None:
    value = torch.zeros(19, 3)
    gone = weakref.ref(value)
    census.take()
    del value
    assert gone() is None


def test_subclasses_and_tensors_without_storage_are_counted_without_running_their_code(
    census: Any,
) -> None:
    class Watched(torch.Tensor):  # type: ignore[misc, name-defined, unused-ignore]
        @classmethod
        def __torch_function__(cls, *arguments: Any, **keywords: Any) -> Any:
            raise AssertionError("the program's code was run by a count")

    kept: list[Any] = [torch.zeros(23, 2).as_subclass(Watched) for _ in range(2)]
    kept += [torch.zeros(29, 2).to_sparse() for _ in range(9)]
    assert grown(census, "Watched").startswith("2 more Watched [23, 2] float32 on cpu")
    assert len(kept) == 11
