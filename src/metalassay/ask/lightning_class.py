"""Tells from the source alone whether a class is a LightningModule: no module of the user's is imported.

The class and its bases are followed through assignments and imports. What is made while a module runs (a class
that a function returns, an import hook) is not seen; the answer is then no.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path

from metalassay import files

_PACKAGES = frozenset({"lightning", "pytorch_lightning"})
_CLASS = "LightningModule"
_LARGEST = 2**22  # bytes of a module that a person wrote


def is_one(module: str, name: str, folders: Sequence[str]) -> bool:
    """Return whether ``name`` in ``module`` derives from LightningModule, looked for in ``folders``."""
    try:
        return _is_one(module, name, folders, set())
    except RecursionError:  # nested as no person writes it
        return False


def _is_one(module: str, name: str, folders: Sequence[str], seen: set[tuple[str, str]]) -> bool:
    if (module, name) in seen:
        return False
    seen.add((module, name))
    if module.partition(".")[0] in _PACKAGES:
        return name == _CLASS
    path = _file(module, folders)
    tree = _parsed(path) if path is not None else None
    if path is None or tree is None:
        return False
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return any(
        _is_one(*found, folders, seen) for found in _meanings(tree, module, package, name, folders)
    )


def _meanings(
    tree: ast.Module, module: str, package: str, name: str, folders: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of what ``name`` stands for, or of what it derives from."""
    first, _, rest = name.partition(".")
    for node in _statements(tree.body):
        if isinstance(node, ast.ClassDef) and node.name == name:
            for base in node.bases:
                base = base.value if isinstance(base, ast.Subscript) else base  # Base[int]
                if dotted := _dotted(base):
                    yield module, dotted
        elif isinstance(node, ast.Assign):
            targets = {each.id for each in node.targets if isinstance(each, ast.Name)}
            if name in targets and (dotted := _dotted(node.value)):
                yield module, dotted
        elif isinstance(node, ast.Import):
            for each in node.names:
                if name.startswith(f"{each.asname or each.name}."):
                    yield _split(each.name + name.removeprefix(each.asname or each.name), folders)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, package)
            for each in node.names:
                if each.name == "*" and not name.startswith("_"):
                    yield origin, name
                elif (each.asname or each.name) == first:
                    yield _split(f"{origin}.{each.name}{'.' if rest else ''}{rest}", folders)


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, also those under a condition or in a try."""
    for node in body:
        yield node
        if isinstance(node, (ast.If, ast.Try)):
            yield from _statements([*node.body, *node.orelse])
        if isinstance(node, ast.Try):
            for handler in node.handlers:
                yield from _statements(handler.body)


def _split(dotted: str, folders: Sequence[str]) -> tuple[str, str]:
    """Divide a dotted name into a module, the longest that there is, and the name in it."""
    parts = dotted.split(".")
    if parts[0] in _PACKAGES:
        return parts[0], parts[-1]
    for length in range(len(parts) - 1, 1, -1):
        if _file(".".join(parts[:length]), folders) is not None:
            return ".".join(parts[:length]), ".".join(parts[length:])
    return parts[0], ".".join(parts[1:])


def _origin(node: ast.ImportFrom, package: str) -> str:
    """Return the module of a ``from`` import, relative ones included."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    above = parts[: max(len(parts) - node.level + 1, 0)]
    return ".".join([*above, *([node.module] if node.module else [])])


def _dotted(node: ast.expr) -> str:
    """Return ``a.b.c`` for an expression that is such a name, else ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def _file(module: str, folders: Sequence[str]) -> Path | None:
    """Return the source file of a module, found without importing the packages above it."""
    parts = module.split(".")
    where: Sequence[str] = folders
    for length in range(1, len(parts) + 1):
        try:
            spec = PathFinder.find_spec(".".join(parts[:length]), list(where))
        except (ImportError, OSError, ValueError):
            return None
        if spec is None:
            return None
        if length == len(parts):
            return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
        if spec.submodule_search_locations is None:
            return None
        where = list(spec.submodule_search_locations)
    return None


def _parsed(path: Path) -> ast.Module | None:
    try:
        return ast.parse(files.content(path, _LARGEST))
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None  # who imports it says what is wrong
