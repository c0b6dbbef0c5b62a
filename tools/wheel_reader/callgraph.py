"""Read from ``libtorch_cpu.dylib`` which operators the composites and autograd formulas of a release call.

The library keeps its symbols, and on arm64 a direct call is one instruction (BL, or B for the last call
of a function) whose target is in the instruction. Every function is followed from the one that is
registered for a composite, or from ``apply`` of an autograd formula, up to the calls of operators. All
branches count, so the result is what an operator *may* call; calls through pointers are not seen.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from metalassay.errors import UserError
from wheel_reader.macho import Library

_OPERATOR = re.compile(rb"__ZN2at4_ops(\d+)")
_CALLS = (b"4call", b"10redispatch")
_WRAPPER = re.compile(rb"(\d+)wrapper_Composite")
_FORMULA = re.compile(rb"__ZN5torch8autograd9generated(\d+)(\w+)")
_COMPOSITES = (
    "CompositeExplicitAutograd",
    "CompositeExplicitAutogradNonFunctional",
    "CompositeImplicitAutograd",
)


def read(path: Path, overloads: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return, by composite or autograd formula (``SoftmaxBackward0``), the overloads that it calls.

    ``overloads`` are those of the release. Raises ``UserError`` if the library has none of them.
    """
    library = Library(path)
    try:
        names, calls = _graph(library)
    finally:
        library.close()
    by_symbol = {name.replace(".", "_").encode(): name for name in overloads}
    wrappers = {
        f"wrapper_{key}_{name.partition('.')[2]}_{name.partition('.')[0]}".encode(): name
        for name in by_symbol.values()
        for key in _COMPOSITES
    }
    operators: dict[int, str] = {}
    begins: dict[str, set[int]] = defaultdict(set)
    for index, name in enumerate(names):
        symbol = _called(name)
        if symbol is not None:
            operators[index] = by_symbol.get(symbol, "")
        elif (owner := _owner(name, wrappers)) is not None:
            begins[owner].add(index)
    if not begins:
        raise UserError(
            "the library has no composites, or its symbols are stripped",
            "use the libtorch_cpu.dylib of a macosx arm64 wheel",
        )
    return {owner: _reached(starts, calls, operators) for owner, starts in sorted(begins.items())}


def _graph(library: Library) -> tuple[list[bytes], Mapping[int, list[int]]]:
    """Return the functions in the order of their addresses, and by index those that each one calls."""
    text = library.section("__text")
    words = np.frombuffer(library.content(text), dtype="<u4")
    kind = words >> 26
    at = np.nonzero((kind == 0b100101) | (kind == 0b000101))[0]  # BL, B
    offset = (words[at] & 0x3FFFFFF).astype(np.int64)
    offset = np.where(offset >= 1 << 25, offset - (1 << 26), offset)
    source = text.address + at * 4
    target = source + offset * 4
    inside = (a for a in library.symbols if 0 <= a - text.address < text.size)
    functions = np.array(sorted(inside), dtype=np.int64)
    caller = np.searchsorted(functions, source, side="right") - 1
    callee = np.minimum(np.searchsorted(functions, target), len(functions) - 1)
    # Other branches are jumps inside a function, or calls of other libraries.
    edges = (functions[callee] == target) & (caller >= 0) & (caller != callee)
    pairs = np.unique(caller[edges] * len(functions) + callee[edges])
    calls: dict[int, list[int]] = defaultdict(list)
    for pair in pairs.tolist():
        calls[pair // len(functions)].append(pair % len(functions))
    return [library.symbols[address] for address in functions.tolist()], calls


def _called(symbol: bytes) -> bytes | None:
    """Return the operator that ``at::_ops::NAME::call`` or ``redispatch`` dispatches to."""
    match = _OPERATOR.match(symbol)
    if match is None:
        return None
    end = match.end() + int(match[1])
    return symbol[match.end() : end] if symbol[end:].startswith(_CALLS) else None


def _owner(symbol: bytes, wrappers: Mapping[bytes, str]) -> str | None:
    """Return the composite or the autograd formula whose code this function is."""
    if match := _FORMULA.match(symbol):
        name = match[2][: int(match[1])]
        rest = match[2][int(match[1]) :]
        return name.decode() if rest.startswith(b"5apply") and b"Backward" in name else None
    if b"make_boxed_from_unboxed_functor" in symbol:  # calls the other one, and converts arguments
        return None
    match = _WRAPPER.search(symbol)
    if match is None:
        return None
    begin = match.start() + len(match[1])
    # Inside a mangled name a number may stand before the length.
    for digits in range(len(match[1]), 0, -1):
        wrapper = symbol[begin : begin + int(match[1][-digits:])]
        if wrapper in wrappers:
            return wrappers[wrapper]
    return None


def _reached(
    starts: Iterable[int], calls: Mapping[int, list[int]], operators: Mapping[int, str]
) -> frozenset[str]:
    """Return the operators called from functions, directly or by the functions that these call."""
    seen, todo, reached = set(starts), list(starts), set()
    while todo:
        for callee in calls.get(todo.pop(), ()):
            if callee in operators:
                reached.add(operators[callee])
            elif callee not in seen:
                seen.add(callee)
                todo.append(callee)
    return frozenset(reached - {""})
