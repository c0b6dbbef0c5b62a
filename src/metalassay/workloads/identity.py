"""The identity of a workload: a short text that changes exactly when what is timed changes.

Two stored times may be put into one ratio only if the same code was timed. The identity is a hash over
the syntax trees of the functions, classes and constants that a timed step is made of, found by following
names from the step. Comments, docstrings, annotations, import statements, formatting, and the names and
places of our own files are excluded, so that they may change without invalidating earlier figures.
The harness (waiting for a device, error messages) is excluded too: it is the same for every workload.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import inspect
import json
import pkgutil
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

PREFIX = "ast1-"
"""The version of the method; a change of the method needs another prefix."""
_HARNESS = ("metalassay.measure", "metalassay.errors")
# Fields of syntax trees that do not affect what runs, or that not every Python version has.
_SKIPPED = {"annotation", "returns", "type_comment", "type_params", "kind", "ctx", "type_ignores"}


def identity(*parts: object) -> str:
    """Return the identity of code and settings, such as ``ast1-3f0c2a9d41b7``.

    ``parts`` are functions, classes, ``functools.partial`` objects, dataclass instances, containers
    of these, and plain values. What they refer to is followed within the packages that they come
    from; other libraries count by their names alone. The result depends neither on the Python
    version nor on the machine. Raises ``TypeError`` for a value that has no stable description.
    """
    definitions = _Definitions(parts)
    roots = [definitions.describe(part) for part in parts]
    text = json.dumps([roots, definitions.bodies()])
    return PREFIX + hashlib.sha256(text.encode()).hexdigest()[:12]


class _Definitions:
    """Functions and classes in the order in which they were first referred to."""

    def __init__(self, parts: tuple[object, ...]) -> None:
        self.packages = {__name__.partition(".")[0], *_packages(parts)}
        self.found: list[Any] = []
        self.constants: set[tuple[str, str]] = (
            set()
        )  # being described: they may refer to each other
        self.sources: dict[str, ast.Module] = {}

    def bodies(self) -> list[object]:
        """Return the tree of each definition; looking at one may add others at the end."""
        bodies: list[object] = []
        for definition in self.found:  # grows while it is read
            bodies.append([self._closure(definition), self._tree(definition)])
        return bodies

    def describe(self, value: object) -> object:
        """Return a value that JSON can write, the same for equal values in every process."""
        if isinstance(value, functools.partial):
            return ["partial", *map(self.describe, (value.func, value.args, value.keywords))]
        if isinstance(value, types.MethodType):
            return ["method", self.describe(value.__func__), self.describe(value.__self__)]
        if isinstance(value, types.FunctionType | type):
            if not self._followed(value.__module__):
                return ["library", f"{value.__module__}.{value.__qualname__}"]
            return ["definition", self._number(value)]
        if dataclasses.is_dataclass(value):
            fields = {
                field.name: self.describe(getattr(value, field.name))
                for field in dataclasses.fields(value)
            }
            return ["dataclass", self.describe(type(value)), fields]
        if isinstance(value, Mapping):
            return ["mapping", [[self.describe(key), self.describe(value[key])] for key in value]]
        if isinstance(value, list | tuple):
            return ["sequence", [self.describe(item) for item in value]]
        if isinstance(value, set | frozenset):
            return ["set", sorted(json.dumps(self.describe(item)) for item in value)]
        text = repr(value)
        if " at 0x" in text:
            raise TypeError(f"no stable description of {text}")
        return [type(value).__name__, text]

    def _number(self, definition: Any) -> int:
        if definition not in self.found:
            self.found.append(definition)
        return self.found.index(definition)

    def _followed(self, module: str) -> bool:
        inside = module.partition(".")[0] in self.packages
        return inside and not _within(module, _HARNESS)

    def _closure(self, definition: Any) -> object:
        if not isinstance(definition, types.FunctionType):
            return None
        defaults = [definition.__defaults__, definition.__kwdefaults__]
        free = inspect.getclosurevars(definition).nonlocals
        return self.describe([free, defaults])

    def _tree(self, definition: Any) -> object:
        module = sys.modules[definition.__module__]
        if module.__name__ not in self.sources:
            self.sources[module.__name__] = ast.parse(inspect.getsource(module))
        source = self.sources[module.__name__]
        nodes = list(_nodes(source, definition))
        if not nodes:
            raise TypeError(f"no source of {definition.__module__}.{definition.__qualname__}")
        names = _Names(self, module, source)
        return [names.tree(node, _bound(node, definition)) for node in nodes]


class _Names:
    """Turns syntax trees of one module into lists, each name from outside into what it stands for."""

    def __init__(
        self, definitions: _Definitions, module: types.ModuleType, source: ast.Module
    ) -> None:
        self.definitions, self.module = definitions, module
        self.imports = dict(_imports(source))
        classes = [node for node in ast.walk(source) if isinstance(node, ast.ClassDef)]
        # ``x: int = 3`` is ``x = 3`` but in a class, where it may make a field of a dataclass.
        self.class_level = {id(statement) for node in classes for statement in node.body}

    def tree(self, node: object, bound: frozenset[str]) -> object:
        """Return ``node`` as nested lists; ``bound`` are the names of the scopes around it."""
        if isinstance(node, list):
            return [self.tree(item, bound) for item in _without_docstring(node)]
        if not isinstance(node, ast.AST):
            return repr(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            return None
        chain = _chain(node)
        if chain and chain[0] not in bound:
            return self._outside(chain)
        if isinstance(node, ast.AnnAssign) and id(node) not in self.class_level:
            if node.value is None:
                return None
            node = ast.Assign(targets=[node.target], value=node.value)
        if isinstance(node, ast.JoinedStr):  # Python 3.12 has empty parts at the end of formats
            parts = [one for one in node.values if getattr(one, "value", None) != ""]
            node = ast.JoinedStr(values=parts)
        inner = bound | _names_bound(node)
        fields = [
            [name, self.tree(value, inner)]
            for name, value in ast.iter_fields(node)
            # A newer Python has fields that an older one has not: those that are empty say nothing.
            if name not in _SKIPPED and value is not None and value != []
        ]
        return [type(node).__name__, fields]

    def _outside(self, chain: list[str]) -> object:
        dotted = self.imports.get(chain[0], "")
        if dotted and not self.definitions._followed(dotted):
            path = ".".join([dotted, *chain[1:]])
            # Our harness counts by the last name alone, wherever it lives.
            return ["library", path.rpartition(".")[2] if _within(path, _HARNESS) else path]
        name, *rest = chain
        if hasattr(self.module, name):
            owner, value = self.module, getattr(self.module, name)
        elif dotted:  # imported inside a function
            path, _, name = dotted.rpartition(".")
            owner, value = pkgutil.resolve_name(path), pkgutil.resolve_name(dotted)
        else:
            return ["builtin", chain]
        while rest and isinstance(value, types.ModuleType):
            name = rest.pop(0)
            owner, value = value, getattr(value, name)
        if isinstance(value, types.ModuleType):
            return ["module", rest]
        described = self.definitions.constants
        if (owner.__name__, name) in described:
            return ["constant", name, rest]
        described.add((owner.__name__, name))
        try:
            return [self.definitions.describe(value), rest]
        finally:
            described.discard((owner.__name__, name))


def _within(dotted: str, places: tuple[str, ...]) -> bool:
    return any(dotted == place or dotted.startswith(place + ".") for place in places)


def _packages(value: object) -> Iterator[str]:
    """Yield the top-level packages of the functions and classes among ``value``."""
    if isinstance(value, tuple):
        for item in value:
            yield from _packages(item)
    elif isinstance(value, functools.partial):
        yield from _packages((value.func, *value.args))
    elif isinstance(value, types.FunctionType | type) and value.__module__ != "builtins":
        top = value.__module__.partition(".")[0]
        if top not in ("torch", *sys.stdlib_module_names):
            yield top


def _nodes(source: ast.Module, definition: Any) -> Iterator[ast.AST]:
    """Yield the node of a definition; for a lambda, every lambda that starts on its line."""
    if getattr(definition, "__name__", "") == "<lambda>":
        line = definition.__code__.co_firstlineno
        for node in ast.walk(source):
            if isinstance(node, ast.Lambda) and node.lineno == line:
                yield node
        return
    path = [part for part in definition.__qualname__.split(".") if part != "<locals>"]
    scopes: list[ast.AST] = [source]
    for name in path:
        scopes = [
            node
            for scope in scopes
            for node in ast.walk(scope)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and node.name == name
            and node is not scope
        ]
    if len(scopes) > 1 and isinstance(definition, types.FunctionType):
        line = definition.__code__.co_firstlineno  # of the first decorator, if there is one
        scopes = [
            node
            for node in scopes
            if line in (node.lineno, *(one.lineno for one in node.decorator_list))  # type: ignore[attr-defined]
        ]
    yield from scopes


def _imports(source: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield each imported name and the dotted path that it stands for."""
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (top, top)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _chain(node: ast.AST) -> list[str] | None:
    """Return ["a", "b", "c"] for the expression ``a.b.c``, None for any other."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return [node.id, *reversed(names)]


def _without_docstring(body: list[Any]) -> list[Any]:
    """Drop bare strings, which do nothing: docstrings, and those below constants."""
    return [
        item
        for item in body
        if not (
            isinstance(item, ast.Expr)
            and isinstance(item.value, ast.Constant)
            and isinstance(item.value.value, str)
        )
    ]


def _bound(node: ast.AST, definition: Any) -> frozenset[str]:
    """Return the names that a definition refers to itself by, or finds in the functions around it."""
    own = {node.name} if isinstance(node, ast.FunctionDef | ast.ClassDef) else set()
    code = getattr(definition, "__code__", None)
    return frozenset(own | set(code.co_freevars if code else ()))


def _names_bound(node: ast.AST) -> frozenset[str]:
    """Return the names that the scope which ``node`` opens binds; none if it opens no scope."""
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        targets = [name for part in node.generators for name in ast.walk(part.target)]
        return frozenset(name.id for name in targets if isinstance(name, ast.Name))
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return frozenset()
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [item for item in (arguments.vararg, arguments.kwarg) if item]
    names = {item.arg for item in every}
    body = node.body if isinstance(node.body, list) else [node.body]
    for statement in body:
        names |= _stored(statement)
    return frozenset(names)


def _stored(node: ast.AST) -> set[str]:
    """Return the names that a statement binds, but not those inside functions and classes in it."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Lambda):
        return set()
    names = {node.id} if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else set()
    if isinstance(node, ast.ExceptHandler) and node.name:
        names.add(node.name)
    for child in ast.iter_child_nodes(node):
        names |= _stored(child)
    return names
