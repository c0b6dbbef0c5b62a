"""Functions that began to return a tuple where their callers ask for true or false.

A tuple that is not empty is always true: from transformers 5.3.0 on ``_is_package_available`` returns
one, and TRL believes that every optional package is installed.
"""

from __future__ import annotations

from metalassay.linkcheck.entries import ORDINARY
from metalassay.linkcheck.reach import Reach
from metalassay.linkcheck.source import Package
from metalassay.linkcheck.uses import Use


def returns_tuple(provider: Package, target: str) -> bool | None:
    """Return whether a function returns a tuple wherever it returns; None if it is not there."""
    path = provider.resolve(target)
    module, _, name = path.rpartition(".")
    found = provider.modules.get(module)
    if found is None or name not in found.defined:
        return None
    return name in found.tuples


def asked(use: Use) -> bool:
    """Return whether a use takes the result as true or false without asking for more than that."""
    return use.kind == "truth" and not any("return" in each for each in use.keywords)


def entry_of(use: Use, caller: Package, reach: Reach) -> str:
    """Return the ordinary entries that then import the package in question, joined; else nothing."""
    package = use.member
    found: dict[str, None] = {}
    for module in caller.modules.values():
        for function, imported, conditions in module.optional:
            if imported != package or function:
                continue
            if any(each.startswith("if is_") and package in each for each in conditions):
                found |= dict.fromkeys(reach.entries(module.name))
    return ", ".join(entry for entry in found if entry in ORDINARY)
