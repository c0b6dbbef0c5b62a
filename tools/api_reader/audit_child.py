"""Say what an installed package really has: run by the environment that has it, imports nothing of ours.

Reads {"modules": {module: [name, …]}, "callables": [path, …]} from standard input and writes which names
are there and the signature of each class's methods and of each function.
"""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import sys
import warnings
from typing import Any


def text(function: Any) -> str:
    """Write a signature as source.py does, without what the body takes out of ``**kwargs``."""
    parts, star, slash = [], False, False
    for each in inspect.signature(function).parameters.values():
        if slash and each.kind is not each.POSITIONAL_ONLY:
            parts.append("/")
        slash = each.kind is each.POSITIONAL_ONLY
        name = each.name
        if each.kind is each.VAR_POSITIONAL:
            name, star = "*" + name, True
        elif each.kind is each.VAR_KEYWORD:
            name = "**" + name
        elif each.kind is each.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        parts.append(name + ("" if each.default is each.empty else "="))
    return ",".join(parts + (["/"] if slash else []))


def signatures(thing: Any) -> dict[str, str]:
    """Return the signature of a function, or of each method of a class and of its ``__init__``."""
    if not inspect.isclass(thing):
        return {"": text(thing)} if inspect.isfunction(inspect.unwrap(thing)) else {}
    found = {}
    for name, value in [*vars(thing).items(), ("__init__", thing.__init__)]:
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if inspect.isfunction(function) and inspect.isfunction(inspect.unwrap(function)):
            found[name] = text(function)
    return found


def main() -> None:
    """Answer the question on standard input."""
    warnings.simplefilter("ignore")
    logging.disable()
    asked = json.load(sys.stdin)
    answer: dict[str, Any] = {"failed": {}, "names": {}, "signatures": {}}
    for module, names in asked["modules"].items():
        try:
            loaded = importlib.import_module(module)
        except BaseException as error:  # noqa: BLE001  (an optional package is missing, in many ways)
            answer["failed"][module] = f"{type(error).__name__}: {error}"[:200]
            continue
        there = []
        for name in names:
            try:
                there += [name] if hasattr(loaded, name) else []
            except Exception as error:  # noqa: BLE001  (a lazy module that cannot load a part of itself)
                answer["failed"][f"{module}.{name}"] = f"{type(error).__name__}: {error}"[:200]
        answer["names"][module] = there
        for path in asked["callables"].get(module, []):
            thing = getattr(loaded, path, None)
            if getattr(thing, "__module__", None) == module:
                answer["signatures"][f"{module}.{path}"] = signatures(thing)
    print("\n@@" + json.dumps(answer))


if __name__ == "__main__":
    main()
