"""Read from a wheel what PyTorch's own tests expect of each operator on MPS; nothing is executed.

``torch/testing/_internal/common_mps.py`` has lists by OpInfo (name and variant, without a separator) and
dtype, and the definitions of the OpInfos name the dtypes that MPS takes. Both are parsed with ``ast``.
"""

from __future__ import annotations

import ast
import contextlib
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from metalassay.errors import UserError

_LISTS = "torch/testing/_internal/common_mps.py"
_DEFINITIONS = re.compile(
    r"torch/testing/_internal/(common_methods_invocations|opinfo/definitions/\w+)\.py"
)
ALL = "*"
# Names of one dtype in the lists.
_SAME = {
    "double": "float64",
    "float": "float32",
    "half": "float16",
    "cdouble": "complex128",
    "cfloat": "complex64",
    "chalf": "complex32",
    "long": "int64",
    "int": "int32",
    "short": "int16",
}
_INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
# torch/testing/_internal/common_dtype.py; what follows in parentheses is added.
_FAMILIES = {
    "custom_types": (),
    "empty_types": (),
    "floating_types": ("float32", "float64"),
    "floating_types_and": ("float32", "float64"),
    "floating_types_and_half": ("float32", "float64", "float16"),
    "integral_types": _INTEGERS,
    "integral_types_and": _INTEGERS,
    "complex_types": ("complex64", "complex128"),
    "floating_and_complex_types": ("float32", "float64", "complex64", "complex128"),
    "floating_and_complex_types_and": ("float32", "float64", "complex64", "complex128"),
    "all_types": ("float32", "float64", *_INTEGERS),
    "all_types_and": ("float32", "float64", *_INTEGERS),
    "all_types_and_complex": ("float32", "float64", "complex64", "complex128", *_INTEGERS),
    "all_types_and_complex_and": ("float32", "float64", "complex64", "complex128", *_INTEGERS),
}
ByOpInfo = dict[str, tuple[str, ...]]


@dataclass
class Lists:
    """What one release expects, by OpInfo; dtypes are sorted, and ``("*",)`` stands for all.

    ``fails`` fail on MPS. ``numbers`` run, and give numbers that differ from the CPU's. ``macos`` fail
    before a macOS release, which is the key. ``gradient`` fail in the backward pass. ``skipped`` are not
    tested. ``decorated`` are expected to fail by their own OpInfo. ``takes`` are the dtypes that an OpInfo names for MPS. Complex numbers fail unless the OpInfo is
    in ``complex_supported`` (None in a release that lists ``complex_unsupported`` instead).
    """

    fails: ByOpInfo = field(default_factory=dict)
    numbers: ByOpInfo = field(default_factory=dict)
    macos: dict[str, ByOpInfo] = field(default_factory=dict)
    gradient: ByOpInfo = field(default_factory=dict)
    skipped: ByOpInfo = field(default_factory=dict)
    decorated: ByOpInfo = field(default_factory=dict)
    takes: ByOpInfo = field(default_factory=dict)
    complex_supported: tuple[str, ...] | None = None
    complex_unsupported: tuple[str, ...] | None = None


def read(wheel: Path) -> Lists:
    """Read a wheel of torch 2.8 or newer. Raises ``UserError`` if it has no such lists."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        if _LISTS not in names:
            raise UserError(f"{wheel.name} has no {_LISTS}", "use torch 2.8 or newer")
        lists = parse(archive.read(_LISTS).decode())
        for name in names:
            if _DEFINITIONS.fullmatch(name):
                source = archive.read(name).decode()
                lists.takes.update(taken(source))
                lists.decorated.update(decorated(source))
    lists.takes = dict(sorted(lists.takes.items()))
    lists.decorated = dict(sorted(lists.decorated.items()))
    return lists


def parse(source: str) -> Lists:
    """Return the lists in the text of common_mps.py.

    Raises ``UserError`` for a list whose name is not known: what it means would be a guess.
    """
    lists = Lists()
    functions = {
        node.name: node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)
        if len(node.body) > 1  # not the stubs for machines without MPS
    }  # fmt: skip
    if "mps_ops_modifier" not in functions:
        raise UserError("common_mps.py has no mps_ops_modifier", "see what PyTorch has changed")
    for name, value, macos in _assigned(functions["mps_ops_modifier"]):
        _forward(lists, name, value, macos)
    gradient = functions.get("mps_ops_grad_modifier")
    for name, value, _ in _assigned(gradient) if gradient else ():
        # The lists for old macOS releases and what is not run are left out.
        if name in ("XFAILLIST_GRAD", "ON_MPS_XFAILLIST"):
            _add(lists.gradient, value)
    return lists


def _forward(lists: Lists, name: str, value: ast.expr, macos: str) -> None:
    match name:
        case "SUPPORTED_COMPLEX_OPS" | "AFTER_MACOS_14_0_SUPPORTED_COMPLEX_OPS":
            before = lists.complex_supported or ()
            lists.complex_supported = tuple(sorted({*before, *_strings(value)}))
        case "UNSUPPORTED_COMPLEX_OPS":
            lists.complex_unsupported = tuple(sorted(_strings(value)))
        case "UNIMPLEMENTED_XFAILLIST" | "ON_MPS_XFAILLIST":
            _add(lists.macos.setdefault(macos, {}) if macos else lists.fails, value)
        case "UNDEFINED_XFAILLIST":
            _add(lists.numbers, value)
        case "EMPTY_OPS_SKIPLIST" | "SKIPLIST":
            _add(lists.skipped, value)
        case "UNIMPLEMENTED_XFAILLIST_SPARSE":
            pass  # for sparse tensors
        case _ if match := re.fullmatch(r"MACOS_BEFORE_(\d+)_(\d+)_XFAILLIST", name):
            _add(lists.macos.setdefault(".".join(match.groups()), {}), value)
        case "MACOS_AFTER_13_1_XFAILLIST" | "MACOS_13_3_XFAILLIST":
            _add(lists.fails, value)  # every macOS that such a torch runs on
        case _:
            raise UserError(
                f"common_mps.py has a new list, {name}", "say in this file what it means"
            )


def _assigned(function: ast.FunctionDef) -> Iterator[tuple[str, ast.expr, str]]:
    """Yield the name and value of each list, and the macOS before which an update of it counts."""
    for node in function.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            yield ast.unparse(target), node.value, ""
        elif isinstance(node, ast.If) and (
            before := re.fullmatch(r"MACOS_VERSION < ([\d.]+)", ast.unparse(node.test))
        ):
            for call in node.body:
                if not (isinstance(call, ast.Expr) and isinstance(call.value, ast.Call)):
                    raise UserError(
                        f"common_mps.py: {ast.unparse(call)!r} is not understood",
                        "extend this file",
                    )
                name = ast.unparse(call.value.func).removesuffix(".update")
                yield name, call.value.args[0], before[1]


def _add(to: ByOpInfo, value: ast.expr) -> None:
    if not isinstance(value, ast.Dict):
        raise UserError(f"{ast.unparse(value)[:60]!r} is not a dictionary", "extend this file")
    for key, dtypes in zip(value.keys, value.values, strict=True):
        (name,) = _strings(ast.List([key] if key else []))
        found = {ALL} if ast.unparse(dtypes) == "None" else set(_dtypes(dtypes))
        both = {*to.get(name, ()), *found}
        to[name] = (ALL,) if ALL in both else tuple(sorted(both))


def _strings(value: ast.expr) -> list[str]:
    elements = value.elts if isinstance(value, ast.Set | ast.List | ast.Tuple) else [value]
    strings = [ast.literal_eval(element) for element in elements]
    if not all(isinstance(string, str) for string in strings):
        raise UserError(f"{ast.unparse(value)[:60]!r} are not names", "extend this file")
    return strings


def _dtypes(value: ast.expr) -> Iterator[str]:
    """Yield the dtypes that an expression of the lists or of an OpInfo stands for."""
    if isinstance(value, ast.List | ast.Tuple | ast.Set):
        for element in value.elts:
            yield from _dtypes(element)
    elif isinstance(value, ast.IfExp) and "MACOS_VERSION <" in ast.unparse(value.test):
        yield from _dtypes(value.orelse)  # what a current macOS does
    elif isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        yield from _dtypes(value.left)
        yield from _dtypes(value.right)
    elif isinstance(value, ast.Attribute) and ast.unparse(value.value) == "torch":
        yield _SAME.get(value.attr, value.attr)
    elif isinstance(value, ast.Call) and ast.unparse(value.func) in _FAMILIES:
        yield from _FAMILIES[ast.unparse(value.func)]
        for argument in value.args:
            yield from _dtypes(argument)
    else:
        raise UserError(f"{ast.unparse(value)!r} are not dtypes", "extend this file")


def taken(source: str) -> ByOpInfo:
    """Return the dtypes that the OpInfos of a file name for MPS with ``dtypesIfMPS``."""
    found: ByOpInfo = {}
    for key, named in _opinfos(source):
        if "dtypesIfMPS" not in named or ast.unparse(named["dtypesIfMPS"]) == "None":
            continue
        with contextlib.suppress(UserError):  # computed: leave it out instead of guessing
            found[key] = tuple(sorted(_supported(_dtypes(named["dtypesIfMPS"]))))
    return found


def _supported(dtypes: Iterable[str]) -> set[str]:
    return set(dtypes) - {"float64", "complex128"}


def decorated(source: str) -> ByOpInfo:
    """Return the dtypes in which the OpInfos of a file say that they fail on MPS.

    They say so with a decorator of every test on mps, or of the one that compares it with the CPU.
    """
    found: dict[str, set[str]] = {}
    for key, named in _opinfos(source):
        for name in ("skips", "decorators"):
            for node in ast.walk(named[name]) if name in named else ():
                if (dtypes := _expected_failure(node)) is not None:
                    found.setdefault(key, set()).update(dtypes)
    return {
        key: (ALL,) if ALL in dtypes else tuple(sorted(_supported(dtypes)))
        for key, dtypes in found.items()
    }


def _expected_failure(node: ast.AST) -> set[str] | None:
    """Return the dtypes of a decorator that expects the comparison with the CPU to fail, else None."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func) != "DecorateInfo":
        return None
    what, *tests = (ast.unparse(argument).strip("'") for argument in node.args)
    named = {each.arg: each.value for each in node.keywords}
    device = ast.unparse(named["device_type"]).strip("'") if "device_type" in named else ""
    # TestConsistency, in test/test_mps.py, is the comparison with the CPU and runs for mps alone.
    compares = tests in (["TestConsistency"], ["TestConsistency", "test_output_match"])
    if what != "unittest.expectedFailure" or not (
        (compares and device in ("", "mps")) or (not tests and device == "mps")
    ):
        return None
    try:
        return set(_dtypes(named["dtypes"])) if "dtypes" in named else {ALL}
    except UserError:  # computed: leave it out instead of guessing
        return None


def _opinfos(source: str) -> Iterator[tuple[str, dict[str, ast.expr]]]:
    """Yield the key of each OpInfo that is written out in a file, and its named arguments."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        named = {each.arg: each.value for each in node.keywords if each.arg}
        first = named.get("name") or (node.args[0] if node.args else None)
        if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
            continue
        variant = named.get("variant_test_name")
        yield (
            first.value + (str(variant.value) if isinstance(variant, ast.Constant) else ""),
            named,
        )
