"""Find the functions of an installed torch that ask in Python which device they run on."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("amp", "autograd", "backends", "cuda/amp", "nn", "optim", "utils")
"""Where an operator of a training is chosen; and the modules directly in torch."""
_FLAGS = ("is_cpu", "is_cuda", "is_mps", "is_xpu")
_LISTS = (
    "_device_has_foreach_support",
    "_get_capturable_supported_devices",
    "_get_foreach_kernels_supported_devices",
    "_get_fused_kernels_supported_devices",
    "_has_foreach_support",
)
_DEVICES = ("cpu", "cuda", "mps")


def find(torch: Path) -> set[str]:
    """Return "path:qualified.name" of each function that compares a device type or asks such a list."""
    files = [*torch.glob("*.py")]
    for folder in FOLDERS:
        files += (torch / folder).rglob("*.py")
    found = set()
    for file in files:
        source = file.read_text("utf-8")
        for name, node in _functions(ast.parse(source), ""):
            if any(_asks(child) for child in _own_nodes(node)):
                found.add(f"{file.relative_to(torch).as_posix()}:{name}")
    return found


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}{child.name}"
            if not isinstance(child, ast.ClassDef):
                yield name, child
            yield from _functions(child, f"{name}.")
        else:
            yield from _functions(child, prefix)


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Return the nodes of a function without those of the functions in it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child
            yield from _own_nodes(child)


def _asks(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        parts = list(ast.walk(node))
        words = {part.value for part in parts if isinstance(part, ast.Constant)}
        # x.device.type == …, whatever it is compared with.
        types = [part for part in parts if isinstance(part, ast.Attribute) and part.attr == "type"]
        of_a_device = any("device" in ast.unparse(part.value) for part in types)
        return of_a_device or bool(words & set(_DEVICES))
    if isinstance(node, ast.Attribute):
        return node.attr in _FLAGS
    return (
        isinstance(node, ast.Call)
        and (getattr(node.func, "id", "") or getattr(node.func, "attr", "")) in _LISTS
    )
