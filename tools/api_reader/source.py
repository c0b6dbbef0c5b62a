"""Read one module's names, signatures and attributes from its source text; nothing is executed.

A signature is written as Python would, without types and with ``=`` in place of a default value:
``self, model, args=, *, tokenizer=, **kwargs``. Behind a semicolon follow the names that the body
takes out of ``**kwargs`` itself.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_KEPT = {  # decorators after which a function still has the signature that its source shows
    "abstractmethod", "add_code_sample_docstrings", "add_end_docstrings", "add_start_docstrings",
    "add_start_docstrings_to_callable", "add_start_docstrings_to_model_forward", "auto_docstring",
    "cache", "classmethod", "contextmanager", "copy_func", "deprecate_kwarg", "deprecated",
    "experimental", "filterwarnings", "final", "ignore", "is_inference_mode", "lru_cache",
    "no_grad", "override", "overload", "property", "register", "replace_return_docstrings",
    "requires", "staticmethod", "torch_int_div", "torch_required", "tf_required", "unused",
    "wraps", "deprecate_nonkeyword_arguments", "_deprecate_arguments", "_deprecate_method",
    "transmit_format", "fingerprint_transform", "no_op_if_value_is_null", "patch_submodule",
    "on_main_process", "on_local_main_process", "on_main_process_decorator", "on_last_process",
    "on_process", "save_model_hook", "cached_property", "verify_operation", "chained_operation",
    "can_return_tuple", "empty_device_cache", "no_type_check", "profiling_decorator",
    "restore_default_dtype", "restore_default_torch_dtype", "traced", "transmit_tasks",
    "use_kernel_forward_from_hub", "inference_mode", "script", "ignored", "compile", "disable", "wrap", "singledispatch",
}  # fmt: skip
_KEPT_CLASS = _KEPT | {"dataclass", "total_ordering", "runtime_checkable", "unique"}
_TRACKED = ("accelerate", "transformers", "trl", "peft", "datasets")
# A test of another package's version, such as is_accelerate_available("0.30") or transformers_ge_v5.
_VERSION = re.compile(r"version|greater|_[gl][et]_|\(['\"]\d|\bmin_|_MIN_")


@dataclass
class Function:
    """A function or method: its signature, and what its decorators accept under an old name.

    ``renamed`` maps a deprecated argument that is still accepted to its new name, or to an empty
    string. ``kind`` is "function", "property", "classmethod" or "staticmethod". ``known`` is false
    where a decorator may have changed the signature.
    """

    signature: str
    renamed: dict[str, str] = field(default_factory=dict)
    kind: str = "function"
    known: bool = True


@dataclass
class Class:
    """A class: its bases as written, methods, dataclass fields (as parameters), and attributes.

    ``fields`` is None unless the class is a dataclass. ``known`` is false where a decorator,
    a metaclass or a ``__new__`` may change how it is called. ``open``: attributes are set by names
    that are not in the source.
    """

    bases: list[str]
    methods: dict[str, Function]
    fields: list[str] | None
    attributes: set[str]
    known: bool = True
    open: bool = False


@dataclass
class Import:
    """``from module import name as …``; with an empty ``name``, the module itself."""

    module: str
    name: str


@dataclass
class Module:
    """What a module binds; ``typed`` are the names under ``TYPE_CHECKING``.

    ``lazy``: it replaces itself with a lazy module, which has what is in ``structure`` and hardly
    anything else: pairs of a module below it and a name in that, "*" for all public ones. It is None
    where the source does not write it out. ``aliases``: modules that it answers for with another.
    ``stars`` are the modules of ``from … import *``. ``dynamic``: it has a ``__getattr__``.
    ``imports`` lists what is imported from a tracked package anywhere in the file, and ``calls``
    the keywords with which something imported is called: (class or "", callable, keyword).
    """

    names: dict[str, Function | Class | Import | None]
    typed: dict[str, Function | Class | Import | None]
    stars: list[str]
    typed_stars: list[str]
    exported: list[str] | None
    lazy: bool
    dynamic: bool
    imports: dict[str, tuple[str, str]]
    calls: set[tuple[str, str, str]]
    structure: list[tuple[str, str]] | None = None
    aliases: dict[str, str] = field(default_factory=dict)


def read(source: str, module: str, is_package: bool, details: bool = True) -> Module:
    """Return what the module with this dotted name binds. Raises ``SyntaxError`` for other text.

    Without ``details`` functions and classes are named, and nothing else is read of them.
    """
    return _Reader(module, is_package, details).read(ast.parse(source))


class _Reader:
    def __init__(self, module: str, is_package: bool, details: bool) -> None:
        self.details = details
        self.package = module if is_package else module.rpartition(".")[0]
        self.stars: list[str] = []
        self.typed_stars: list[str] = []
        self.typed: dict[str, Function | Class | Import | None] = {}

    def read(self, tree: ast.Module) -> Module:
        names = self._bind(tree.body, self.stars)
        imports = self._foreign_imports(tree) if self.details else {}
        lazy = _is_lazy(tree)
        return Module(
            names=names,
            typed=self.typed,
            stars=self.stars,
            typed_stars=self.typed_stars,
            exported=_exported(tree),
            lazy=lazy,
            dynamic="__getattr__" in names,
            imports=imports,
            calls=set(_foreign_calls(tree, imports)) if self.details else set(),
            structure=_structure(tree) if lazy else None,
            aliases=_aliases(tree) if lazy else {},
        )

    def _bind(
        self, body: Iterable[ast.stmt], stars: list[str]
    ) -> dict[str, Function | Class | Import | None]:
        names: dict[str, Function | Class | Import | None] = {}
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if not _is_overload(node):
                    names[node.name] = function(node) if self.details else Function("", known=False)
            elif isinstance(node, ast.ClassDef):
                names[node.name] = (
                    class_of(node)
                    if self.details
                    else Class([_dotted(base) for base in node.bases], {}, None, set(), known=False)
                )
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    bound = alias.asname or alias.name.partition(".")[0]
                    names[bound] = Import(alias.name if alias.asname else bound, "")
            elif isinstance(node, ast.ImportFrom):
                module = self._absolute(node)
                for alias in node.names:
                    if alias.name == "*":
                        stars.append(module)
                    else:
                        names[alias.asname or alias.name] = Import(module, alias.name)
            elif isinstance(node, ast.If):
                if _is_typing(node.test):
                    self.typed.update(self._bind(node.body, self.typed_stars))
                    names.update(self._bind(node.orelse, stars))
                else:
                    names.update({**self._bind(node.orelse, stars), **self._bind(node.body, stars)})
            elif isinstance(node, ast.Try):
                for handler in node.handlers:
                    names.update(self._bind(handler.body, stars))
                for part in (node.body, node.orelse, node.finalbody):
                    names.update(self._bind(part, stars))
            elif isinstance(node, ast.With | ast.For | ast.While):
                names.update(self._bind(node.body, stars))
            else:
                names.update(dict.fromkeys(_targets(node)))
        return names

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.package.split(".")
        base = parts[: len(parts) - node.level + 1]
        return ".".join([*base, *([node.module] if node.module else [])])

    def _foreign_imports(self, tree: ast.Module) -> dict[str, tuple[str, str]]:
        own = self.package.partition(".")[0]
        found = {}
        for node in _needed(tree.body):
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                root = node.module.partition(".")[0]
                if root in _TRACKED and root != own:
                    for alias in node.names:
                        found[alias.asname or alias.name] = (node.module, alias.name)
        return found


def _needed(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run whatever the version of another package is."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and _VERSION.search(ast.unparse(node.test)):
            continue
        if isinstance(node, ast.Try):
            yield from _needed([*node.orelse, *node.finalbody])
            continue
        for part in ("body", "orelse"):
            yield from _needed(getattr(node, part, ()))


def function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    """Read a function's definition."""
    found = Function(_signature(node))
    for decorator in node.decorator_list:
        name = _last_name(decorator)
        if name in ("property", "cached_property", "setter", "getter", "deleter"):
            found.kind = "property"
        elif name in ("classmethod", "staticmethod"):
            found.kind = name
        elif name == "deprecate_kwarg" and isinstance(decorator, ast.Call):
            old, new = _renamed(decorator)
            if old:
                found.renamed[old] = new
        elif name not in _KEPT:
            found.known = False
    return found


def class_of(node: ast.ClassDef) -> Class:
    """Read a class's definition."""
    methods: dict[str, Function] = {}
    attributes: set[str] = set()
    fields: list[str] | None = None
    known = not node.keywords
    for decorator in node.decorator_list:
        name = _last_name(decorator)
        if name == "dataclass":
            fields = []
        elif name not in _KEPT_CLASS:
            known = False
    is_open = False
    for child in _flat(node.body):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            if _is_overload(child):
                continue
            method = function(child)
            if method.kind == "property":
                attributes.add(child.name)
            else:
                methods[child.name] = method
            own, opens = _own_attributes(child)
            attributes |= own
            is_open |= opens
        elif isinstance(child, ast.ClassDef):
            attributes.add(child.name)
        else:
            attributes.update(_targets(child))
            if fields is not None and isinstance(child, ast.AnnAssign):
                fields += _field(child)
    known &= "__new__" not in methods
    bases = [_dotted(base) for base in node.bases]
    return Class(bases, methods, fields, attributes, known, is_open)


def _flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If):
            yield from _flat(node.orelse)
            yield from _flat(node.body)
        else:
            yield node


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    first_default = len(positional) - len(arguments.defaults)
    parts = []
    for index, each in enumerate(positional):
        parts.append(each.arg + ("=" if index >= first_default else ""))
        if index + 1 == len(arguments.posonlyargs):
            parts.append("/")
    if arguments.vararg:
        parts.append("*" + arguments.vararg.arg)
    elif arguments.kwonlyargs:
        parts.append("*")
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parts.append(each.arg + ("=" if default is not None else ""))
    if not arguments.kwarg:
        return ",".join(parts)
    parts.append("**" + arguments.kwarg.arg)
    taken = sorted(_taken(node, arguments.kwarg.arg))
    return ",".join(parts) + (";" + ",".join(taken) if taken else "")


def _taken(node: ast.AST, kwargs: str) -> set[str]:
    taken = set()
    for each in ast.walk(node):
        key: ast.expr | None = None
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.args:
            if each.func.attr in ("pop", "get") and _is_name(each.func.value, kwargs):
                key = each.args[0]
        elif isinstance(each, ast.Subscript) and _is_name(each.value, kwargs):
            key = each.slice
        elif (
            isinstance(each, ast.Compare)
            and isinstance(each.ops[0], ast.In | ast.NotIn)
            and _is_name(each.comparators[0], kwargs)
        ):
            key = each.left
        if (
            isinstance(key, ast.Constant)
            and isinstance(key.value, str)
            and key.value.isidentifier()
        ):
            taken.add(key.value)
    return taken


def _own_attributes(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[set[str], bool]:
    arguments = [*node.args.posonlyargs, *node.args.args]
    if not arguments:
        return set(), False
    me, found, is_open = arguments[0].arg, set(), False
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store):
            if _is_name(each.value, me):
                found.add(each.attr)
        elif isinstance(each, ast.Call) and _last_name(each) == "setattr" and each.args:
            if _is_name(each.args[0], me):
                name = each.args[1] if len(each.args) > 1 else None
                if isinstance(name, ast.Constant):
                    found.add(str(name.value))
                else:
                    is_open = True
        elif isinstance(each, ast.Attribute) and each.attr == "__dict__":
            is_open |= _is_name(each.value, me)
    return found, is_open


def _field(node: ast.AnnAssign) -> list[str]:
    """Return a dataclass field as a parameter, or nothing for one that ``__init__`` lacks."""
    if not isinstance(node.target, ast.Name) or "ClassVar" in ast.unparse(node.annotation):
        return []
    default = node.value is not None
    if isinstance(node.value, ast.Call) and _last_name(node.value) in ("field", "Field"):
        given = {each.arg: each.value for each in node.value.keywords}
        init = given.get("init")
        if isinstance(init, ast.Constant) and init.value is False:
            return []
        default = bool(given.keys() & {"default", "default_factory"})
    return [node.target.id + ("=" if default else "")]


def _renamed(decorator: ast.Call) -> tuple[str, str]:
    given = {each.arg: each.value for each in decorator.keywords}
    old = decorator.args[0] if decorator.args else given.get("old_name")
    new = given.get("new_name")
    return _text(old), _text(new)


def _foreign_calls(
    tree: ast.Module, imports: dict[str, tuple[str, str]]
) -> Iterator[tuple[str, str, str]]:
    """Yield (class, callable, keyword) for calls of what is imported, and of ``super().method``."""
    for node, owner in _functions(tree):
        dicts = _dict_keys(node)
        for call in ast.walk(node):
            if not isinstance(call, ast.Call):
                continue
            target = ""
            if isinstance(call.func, ast.Name) and call.func.id in imports:
                target = call.func.id
                where = ""
            elif (
                owner
                and isinstance(call.func, ast.Attribute)
                and isinstance(call.func.value, ast.Call)
                and _is_name(call.func.value.func, "super")
            ):
                target, where = call.func.attr, owner
            if target:
                for keyword in call.keywords:
                    if keyword.arg:
                        yield where, target, keyword.arg
                    elif isinstance(keyword.value, ast.Name):
                        for key in dicts.get(keyword.value.id, ()):
                            yield where, target, key


def _functions(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for child in node.body:
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield child, node.name
        else:
            yield node, ""


def _dict_keys(node: ast.AST) -> dict[str, set[str]]:
    """Return the constant keys of each local dictionary."""
    found: dict[str, set[str]] = {}
    for each in ast.walk(node):
        if isinstance(each, ast.Assign) and len(each.targets) == 1:
            target = each.targets[0]
            if isinstance(target, ast.Name):
                found.setdefault(target.id, set()).update(_keys(each.value))
            elif (
                isinstance(target, ast.Subscript)
                and isinstance(target.value, ast.Name)
                and (key := _text(target.slice))
            ):
                found.setdefault(target.value.id, set()).add(key)
        elif (
            isinstance(each, ast.Call)
            and isinstance(each.func, ast.Attribute)
            and each.func.attr == "update"
            and isinstance(each.func.value, ast.Name)
        ):
            keys = found.setdefault(each.func.value.id, set())
            keys.update(keyword.arg for keyword in each.keywords if keyword.arg)
            for argument in each.args:
                keys.update(_keys(argument))
    return found


def _keys(node: ast.expr) -> set[str]:
    if isinstance(node, ast.Dict):
        return {text for key in node.keys if key is not None and (text := _text(key))}
    if isinstance(node, ast.Call) and _is_name(node.func, "dict"):
        return {keyword.arg for keyword in node.keywords if keyword.arg}
    return set()


def _is_lazy(tree: ast.Module) -> bool:
    """Return whether a module replaces itself: ``sys.modules[__name__] = _LazyModule(…)``."""
    return any(
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and _last_name(node.value) == "_LazyModule"
        and _last_name(node.targets[0]) == "modules"
        for node in _executed(tree.body)
    )


def _aliases(tree: ast.Module) -> dict[str, str]:
    """Return the old modules for which a lazy module answers with another, both below it."""
    found: dict[str, str] = {}
    for node in _executed(tree.body):
        if isinstance(node, ast.Assign) and "_LEGACY_MODULE_ALIASES" in _targets(node):
            if isinstance(node.value, ast.Dict):
                pairs = zip(node.value.keys, node.value.values, strict=True)
                found.update({_text(old): _text(new) for old, new in pairs})
        elif (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and _last_name(node.value).startswith("_create_")
            and len(node.value.args) == 2
        ):
            old, new = node.value.args
            if isinstance(old, ast.JoinedStr):  # f"{__name__}.old", ".new"
                found[_text(old.values[-1]).strip(".")] = _text(new).strip(".")
    return {old: new for old, new in found.items() if old and new}


def _structure(tree: ast.Module) -> list[tuple[str, str]] | None:
    """Return what ``_import_structure`` lists, with every optional package; None if there is none."""
    found: list[tuple[str, str]] = []
    any_there = False
    for node in _executed(tree.body):
        if isinstance(node, ast.Assign):
            any_there |= "_import_structure" in _targets(node)
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AugAssign):
            target, value = node.target, node.value
        elif (  # _import_structure["part"].append("Name")
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Attribute)
            and node.value.func.attr in ("append", "extend")
        ):
            target, value = node.value.func.value, node.value.args[0]
        else:
            continue
        if _is_name(target, "_import_structure") and isinstance(value, ast.Dict):
            for key, listed in zip(value.keys, value.values, strict=True):
                found += [(_text(key), name) for name in _listed(listed)]
        elif isinstance(target, ast.Subscript) and _is_name(target.value, "_import_structure"):
            found += [(_text(target.slice), name) for name in _listed(value)]
    return found if any_there else None


def _executed(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run outside type checkers, whatever is installed beside torch.

    A handler stands for a package that is missing, and torch never is.
    """
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _executed([*([] if _is_typing(node.test) else node.body), *node.orelse])
        elif isinstance(node, ast.Try):
            if "if not is_torch_available():" not in ast.unparse(ast.Module(node.body, [])):
                for handler in node.handlers:
                    yield from _executed(handler.body)
            yield from _executed([*node.body, *node.orelse, *node.finalbody])


def _listed(node: ast.expr) -> list[str]:
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [text for each in node.elts if (text := _text(each))]
    if isinstance(node, ast.ListComp):  # [name for name in dir(module) if not name.startswith("_")]
        return ["*"]
    return [text] if (text := _text(node)) else []


def _exported(tree: ast.Module) -> list[str] | None:
    found: list[str] | None = None
    for node in tree.body:
        if (
            isinstance(node, ast.Assign | ast.AugAssign)
            and "__all__" in _targets(node)
            and isinstance(node.value, ast.List | ast.Tuple)
        ):
            found = (found or []) + [_text(each) for each in node.value.elts]
    return found


def _targets(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    else:
        return []
    return [
        each.id
        for target in targets
        for each in ast.walk(target)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    ]


def _is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(_last_name(each) == "overload" for each in node.decorator_list)


def _is_typing(test: ast.expr) -> bool:
    return _last_name(test) == "TYPE_CHECKING"


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    return _dotted(node).rpartition(".")[2]


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    if isinstance(node, ast.Subscript):  # Generic[T]
        return _dotted(node.value)
    return "?"


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def is_standard(module: str) -> bool:
    """Return whether a module belongs to Python itself."""
    return module.partition(".")[0] in sys.stdlib_module_names
