"""Let torch's Python code treat CPU tensors as it would treat tensors on MPS. Imports no metalassay.

Some of torch's functions compare the type of a device with "cpu" or "mps" and call other operators for
either. A program that is recorded on the CPU must take the branch of a Mac: in these functions the two
words are exchanged. Which functions is data (branches.toml).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import CodeType, FunctionType
from typing import Any

_EXCHANGED = {"cpu": "mps", "mps": "cpu"}


def exchange(functions: Iterable[str]) -> list[str]:
    """Exchange "cpu" and "mps" in functions of torch; return those that this torch has.

    A function is named as "utils/_foreach_utils.py:_device_has_foreach_support". All who have imported
    it already see the change, because the code object is replaced and not the function.
    """
    changed = []
    for name in functions:
        function = _find(name)
        if function is not None and not function.__dict__.get("_metalassay_exchanged"):
            function.__code__ = _exchanged(function.__code__)
            function.__dict__["_metalassay_exchanged"] = True
            changed.append(name)
    return changed


def _find(name: str) -> FunctionType | None:
    path, _, qualified = name.partition(":")
    module = "torch." + path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    try:
        found: Any = importlib.import_module(module)
        for part in qualified.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):  # another torch release
        return None
    found = getattr(found, "__func__", found)  # of a class method
    # The one under decorators has the words.
    while not isinstance(found, FunctionType) or hasattr(found, "__wrapped__"):
        found = getattr(found, "__wrapped__", None)
        if found is None:
            return None
    return found


def _exchanged(code: CodeType) -> CodeType:
    return code.replace(co_consts=tuple(_swap(constant) for constant in code.co_consts))


def _swap(constant: Any) -> Any:
    if isinstance(constant, str):
        return _EXCHANGED.get(constant, constant)
    if isinstance(constant, (tuple, frozenset)):
        return type(constant)(_swap(part) for part in constant)
    # A comprehension or an inner function.
    return _exchanged(constant) if isinstance(constant, CodeType) else constant
