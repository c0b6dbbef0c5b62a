"""Whose code a method is: the module's own, ours, or that of others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from metalassay.patches import replaced
from metalassay.patches.layers import layer

LIBRARY = """
class Loader:
    def __iter__(self):
        yield 1

class Special(Loader):
    pass
"""


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = ModuleType("invented_library")
    exec(LIBRARY, vars(module))  # noqa: S102  (a module of our own, without a file)
    monkeypatch.setitem(sys.modules, "invented_library", module)
    return module


def theirs(self: Any) -> Iterator[int]:
    yield 2


def test_the_librarys_own_method_is_no_replacement(library: Any) -> None:
    assert replaced.replacement(library.Loader, "__iter__") is None
    assert replaced.of_iterator(library.Special()) is None
    assert replaced.of_iterator([1]) is None


def test_the_method_of_others_is_found_in_the_class_that_has_it(library: Any) -> None:
    library.Loader.__iter__ = theirs
    assert replaced.of_iterator(library.Special()) == (library.Loader, theirs)
    text = replaced.described(theirs)  # type: ignore[arg-type]
    assert text.startswith("theirs in ")
    assert "test_replaced.py, line " in text


def test_ours_is_none_and_theirs_is_found_beneath_ours(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {"__name__": "metalassay.patches.invented"}
    exec("def make(below):\n    def __iter__(self): yield 3\n    return __iter__", ours)  # noqa: S102
    make: Any = ours["make"]
    with layer(library.Loader, "__iter__", make, level=0):
        assert replaced.replacement(library.Loader, "__iter__") is None
    library.Loader.__iter__ = theirs
    with layer(library.Loader, "__iter__", make, level=0):
        assert replaced.replacement(library.Loader, "__iter__") is theirs


def test_only_a_generator_that_returns_a_value_loses_it() -> None:
    def returning(self: Any) -> Any:
        try:
            return iter(())
        except ValueError:
            yield 1

    def ending(self: Any) -> Any:
        if self:
            return
        yield from self
        return None

    def plain(self: Any) -> Any:
        return iter(self)

    losing = [replaced.loses_what_it_returns(each) for each in (returning, ending, plain)]
    assert losing == [True, False, False]
