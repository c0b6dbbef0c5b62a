"""Versions that a package refuses when it runs, whatever its metadata says about a plain install.

transformers tests some of its dependencies when it is imported, ``Trainer`` refuses an accelerate that
is too old (the floor of the extra "torch"), and PyTorch is switched off where it is too old.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

IMPORT = "import"


@dataclass(frozen=True)
class Floor:
    """A requirement, as in "accelerate>=1.1.0", and the public entry that tests it."""

    requirement: str
    entry: str


def read(package: str, text: Callable[[str], str]) -> tuple[Floor, ...]:
    """Return the floors of a package; ``text`` returns a file of it by its path, empty if missing."""
    return tuple(dict.fromkeys(_transformers(text))) if package == "transformers" else ()


def _transformers(text: Callable[[str], str]) -> Iterator[Floor]:
    table = _dictionary(text("transformers/dependency_versions_table.py"))
    for name in _tested(text("transformers/dependency_versions_check.py")):
        # accelerate counts as missing where it is too old, and is then not tested
        if name in table and name not in ("accelerate", "python"):
            yield Floor(table[name], IMPORT)
    source = text("transformers/utils/import_utils.py")
    found = re.search(r'^ACCELERATE_MIN_VERSION = "([\d.]+)"', source, re.MULTILINE)
    if found:
        yield Floor(f"accelerate>={found[1]}", "Trainer")
    elif "accelerate" in table:
        yield Floor(table["accelerate"], "Trainer")
    if found := re.search(r"PyTorch >= ([\d.]+) is required but found", source):
        yield Floor(f"torch>={found[1]}", "Trainer")


def _dictionary(source: str) -> dict[str, str]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            found = ast.literal_eval(node.value)
            return {str(name): str(requirement) for name, requirement in found.items()}
    return {}


def _tested(source: str) -> list[str]:
    for node in ast.parse(source).body:
        if (
            not isinstance(node, ast.Assign)
            or ast.unparse(node.targets[0]) != "pkgs_to_check_at_runtime"
        ):
            continue
        value = node.value  # a list, or "python tqdm …".split() in old releases
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
            return str(ast.literal_eval(value.func.value)).split()
        return [str(each) for each in ast.literal_eval(value)]
    return []
