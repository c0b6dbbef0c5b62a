"""The identity of a benchmark by its source: a short text that changes when its code does.

It is a hash over the syntax trees of the test function, of the fixtures that it asks for, and of what they name in
their own files: functions, classes, constants and imports. Comments, docstrings, annotations and formatting are
left out. Nothing is executed and no value is looked at, so that random data in a module does not matter, and code
outside these files counts by the name under which it is imported: its version is recorded, and the commit of
the project. ``workloads.identity`` follows values instead, which it may do as it knows its workloads.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

PREFIX = "src1-"
"""The version of the method; a change of the method needs another prefix."""
# Fields of syntax trees that do not affect what runs, or that not every Python version has.
_SKIPPED = {"annotation", "returns", "type_comment", "type_params", "kind", "ctx", "type_ignores"}
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def identity(functions: Iterable[Callable[..., object]], parameters: str = "") -> str | None:
    """Return the identity of a benchmark, such as ``src1-3f0c2a9d41b7``; None where a source is missing.

    ``functions`` are the test and its fixtures, ``parameters`` the id of its parametrisation.
    """
    described: list[object] = [parameters]
    try:
        for function in functions:
            plain = inspect.unwrap(function)
            while isinstance(plain, functools.partial):
                plain = plain.func
            if isinstance(plain, types.MethodType):
                plain = plain.__func__
            if not isinstance(plain, types.FunctionType):
                return None
            described.append(_described(plain))
    except (OSError, SyntaxError, UnicodeDecodeError, ValueError, RecursionError):
        return None  # generated code, a file that has changed, or one that this Python cannot parse
    return PREFIX + hashlib.sha256(json.dumps(described).encode()).hexdigest()[:12]


def _described(function: types.FunctionType) -> object:
    top, bound = _module(function.__code__.co_filename)
    line = function.__code__.co_firstlineno
    for statement in top.body:
        first = min(
            (statement.lineno, *(one.lineno for one in getattr(statement, "decorator_list", ())))
        )
        if first <= line <= (statement.end_lineno or first):
            break
    else:
        raise ValueError(f"no source of {function.__qualname__}")
    # Whole statements of the module, in their order: of a class, its other methods too.
    needed = {id(statement)}
    queue = [statement]
    while queue:
        for name in _names(queue.pop()):
            for other in bound.get(name, ()):
                if id(other) not in needed:
                    needed.add(id(other))
                    queue.append(other)
    return [function.__qualname__, [_tree(one) for one in top.body if id(one) in needed]]


@functools.lru_cache(maxsize=256)
def _module(file: str) -> tuple[ast.Module, dict[str, list[ast.stmt]]]:
    """Return the tree of a file, and the statements at its top level by the names that they bind."""
    top = ast.parse(Path(file).read_bytes())
    bound: dict[str, list[ast.stmt]] = {}
    for statement in top.body:
        for name in dict.fromkeys(_binds(statement)):
            bound.setdefault(name, []).append(statement)
    return top, bound


def _binds(node: ast.AST) -> Iterator[str]:
    if isinstance(node, _SCOPES):
        yield node.name
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    for child in ast.iter_child_nodes(node):
        yield from _binds(child)


def _names(node: ast.AST) -> Iterator[str]:
    for child in ast.walk(node):
        if isinstance(child, ast.Name):
            yield child.id


def _tree(node: object) -> object:
    """Return a syntax tree as nested lists."""
    if isinstance(node, list):
        return [_tree(item) for item in node if not _is_bare_text(item)]
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.JoinedStr):  # Python 3.12 has empty parts at the end of formats
        node = ast.JoinedStr(values=[one for one in node.values if getattr(one, "value", 1) != ""])
    return [
        type(node).__name__,
        [
            [name, _tree(value)]
            for name, value in ast.iter_fields(node)
            # A newer Python has fields that an older one has not: those that are empty say nothing.
            if name not in _SKIPPED and value is not None and value != []
        ],
    ]


def _is_bare_text(item: object) -> bool:
    """Return whether a statement is a string that does nothing: a docstring, or one below a constant."""
    return (
        isinstance(item, ast.Expr)
        and isinstance(item.value, ast.Constant)
        and isinstance(item.value.value, str)
    )
