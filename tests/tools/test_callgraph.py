"""Which operators are called from the functions of a constructed library."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from constructed_wheel import Step, call, library
from wheel_reader import callgraph

from metalassay.errors import UserError


def operator(name: str, method: str = "call") -> str:
    return f"__ZN2at4_ops{len(name)}{name}{len(method)}{method}ERKNS_6TensorE"


def wrapper(name: str) -> str:
    return f"__ZN3c104impl28wrap_kernel_functor_unboxed_INS0_XadL_ZN2at{len(name)}{name}ERKE"


HELPER = "__ZN2at6native6helperERKNS_6TensorE"
FORMULA = "__ZN5torch8autograd9generated12AddBackward05applyEONSt3__16vectorE"
FUNCTIONS: dict[str, list[Step]] = {
    operator("isneginf"): [],
    operator("where_self"): [],
    operator("softmax_int", "redispatch"): [],
    # What dispatches to a composite is not the composite.
    operator("_safe_softmax"): [call(operator("where_self"))],
    HELPER: [call(operator("isneginf"))],
    wrapper("wrapper_CompositeExplicitAutograd___safe_softmax"): [
        call(HELPER),
        call(operator("softmax_int", "redispatch")),
    ],
    wrapper("wrapper_CompositeImplicitAutograd_int_softmax"): [],
    FORMULA: [call(operator("where_self"))],
    "__ZN2at4main": [call(operator("_safe_softmax"))],
}
OVERLOADS = ["isneginf", "where.self", "softmax.int", "_safe_softmax"]


def read(folder: Path, functions: dict[str, list[Step]]) -> dict[str, frozenset[str]]:
    path = folder / "x.dylib"
    path.write_bytes(library(functions))
    return callgraph.read(path, OVERLOADS)


def test_calls_are_followed_up_to_operators(tmp_path: Path) -> None:
    assert read(tmp_path, FUNCTIONS) == {
        "_safe_softmax": {"isneginf", "softmax.int"},
        "softmax.int": frozenset(),
        "AddBackward0": {"where.self"},
    }


@pytest.mark.parametrize("seed", range(4))
def test_the_order_in_the_file_does_not_matter(tmp_path: Path, seed: int) -> None:
    names = list(FUNCTIONS)
    random.Random(seed).shuffle(names)  # calls then go backwards too
    shuffled = {name: FUNCTIONS[name] for name in names}
    assert read(tmp_path, shuffled) == read(tmp_path, FUNCTIONS)


def test_a_library_without_composites_is_an_error(tmp_path: Path) -> None:
    functions = {
        name: steps for name, steps in FUNCTIONS.items() if not re.search("wrap|gener", name)
    }
    with pytest.raises(UserError, match="has no composites"):
        read(tmp_path, functions)
