"""Whose code a method is: a library's own, ours, or that of a patch which somebody else applied.

Scripts go round that replace methods of accelerate to work around its bugs. One of them replaces
``DataLoaderShard.__iter__`` by a function that both yields and returns the stock iterator, and with it every
loader is empty: https://github.com/gensyn-ai/rl-swarm at c2927b5, ops/fixes/fix_mac_accelerate.py.
"""

from __future__ import annotations

import dis
import inspect
import itertools
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

from metalassay.patches.layers import stock


def replacement(owner: type, name: str) -> FunctionType | None:
    """Return the function that other code has put in place of ``owner.name``, or None if there is none.

    Our own patches are not meant, nor what is beneath a replacement.
    """
    home = vars(sys.modules[owner.__module__]) if owner.__module__ in sys.modules else None
    for function in (owner.__dict__.get(name), stock(owner, name)):
        if not isinstance(function, FunctionType) or function.__globals__ is home:
            continue
        if not function.__globals__.get("__name__", "").startswith("metalassay."):
            return function
    return None


def of_iterator(loader: Any) -> tuple[type, FunctionType] | None:
    """Return the class of ``loader`` whose ``__iter__`` other code has replaced, and that code; or None."""
    for owner in type(loader).__mro__:
        if "__iter__" in owner.__dict__:
            function = replacement(owner, "__iter__")
            return None if function is None else (owner, function)
    return None


def described(function: FunctionType) -> str:
    """Return "patched_iter in fix.py, line 19"."""
    code = function.__code__
    return f"{code.co_name} in {code.co_filename}, line {code.co_firstlineno}"


def loses_what_it_returns(function: Callable[..., Any]) -> bool:
    """Return whether this is a generator that returns a value, which no loop ever sees."""
    if not inspect.isgeneratorfunction(function):
        return False
    steps = [step for step in dis.get_instructions(function) if step.opname not in {"NOP", "CACHE"}]
    return any(
        here.opname == "RETURN_VALUE"
        and not (before.opname == "LOAD_CONST" and before.argval is None)
        for before, here in itertools.pairwise(steps)
    )
