"""Collects the words and packages that `metalassay submit` may keep: python tools/submit_words.py [--check].

The words are those of the texts that metalassay itself writes into result files, read from its source: string
literals of the modules that measure and judge, names and reasons of the compatibility suite, reasons of the
matrix. The packages are those that the recorded runs installed, as their locks name them. Both lists are
shipped; a test holds that nothing is missing in them.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "src" / "metalassay" / "results" / "data"
WRITERS = (
    "src/metalassay/machine/conditions.py",
    "src/metalassay/machine/macos.py",
    "src/metalassay/machine/power.py",
    "src/metalassay/machine/roofline_model.py",
    "src/metalassay/measure",
    "src/metalassay/workloads",
    "src/metalassay/workers/max_batch.py",
    "src/metalassay/smoke",
    "src/metalassay/matrix",
    "src/metalassay/testing",
    "src/metalassay/results/verdict_file.py",
    "benchmarks",
    "compat",
)
# Words that could be somebody's, or part of where somebody works.
_NEVER = frozenset(
    "users user home host localhost root admin private jane doe john alice bob eve mallory secret token".split()  # noqa: SIM905
)
# What Python, pip and uv say in every error of their own.
_ERRORS = """
    a an and any are argument arguments at attribute be because but by call called cannot circular closed conclude
    connection contain contains could decorator depends error errors exist expected failed file following for from
    function got has have in import imported index initialized installed instead invalid is it iterable key keyword
    keys length list local match missing module most multiple must named nested no none not object objects of on
    only or out package packages partially passed peer positional possible range reached recent reference remote
    required requirement requirements require requires reset returned should solution string subscriptable
    supported takes that the this timed to tuple type types unexpected unsatisfiable unsupported use valid value
    values variable version versions was were with without you your
"""
_HEADER = "# Written by tools/submit_words.py; do not edit.\n"


def words_needed() -> set[str]:
    """Return the words that texts of ours use, in lower case."""
    found = set(_ERRORS.split())
    for place in WRITERS:
        path = ROOT / place
        for source in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found.update(_split(source.stem))
            for text in _texts(ast.parse(source.read_text("utf-8"))):
                found.update(_split(text))
    for row in _rows():
        found.update(_split(f"{row['id']} {row.get('reason', '')} {' '.join(row.get('tags', ()))}"))
    return found - _NEVER


def packages_needed() -> set[str]:
    """Return the packages of the recorded runs and of the matrix."""
    found: set[str] = set()
    for path in sorted((ROOT / "docs" / "evidence").glob("*/*.json")):
        document = json.loads(path.read_text("utf-8"))
        pins = (document.get("origin") or {}).get("lock", [])
        found.update(pin.partition("==")[0] for pin in pins)
        found.update(document.get("versions", {}))
        found.update(_name(each) for each in (document.get("set") or {}).get("requires", []))
    for row in _rows():
        found.update(_name(each) for each in row.get("requires", ()))
    return found | {"python", "macos", "apple-silicon", "pip", "uv", "wheel", "metalassay"}


def _rows() -> Iterator[dict[str, Any]]:
    matrix = tomllib.loads((ROOT / "matrix.toml").read_text("utf-8"))
    for value in matrix.values():
        if isinstance(value, list):
            yield from (row for row in value if isinstance(row, dict) and "id" in row)


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9_.-]+", requirement)
    return match[0].lower() if match else ""


def _texts(tree: ast.Module) -> Iterator[str]:
    """Yield string literals and the names of tests, but no docstring."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in docstrings:
                yield node.value
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name


def _split(text: str) -> Iterator[str]:
    for word in re.findall(r"[A-Za-z][A-Za-z0-9]*", text):
        yield word.lower()


def _written(name: str) -> set[str]:
    path = DATA / name
    if not path.exists():
        return set()
    lines = path.read_text("utf-8").splitlines()
    return {word for line in lines if not line.startswith("#") for word in line.split()}


def main() -> int:
    """Write the lists, or say what they lack."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    missing = 0
    for name, needed in (("words.txt", words_needed()), ("packages.txt", packages_needed())):
        lacking = needed - _written(name)
        missing += len(lacking)
        if check:
            if lacking:
                print(f"{name} lacks {' '.join(sorted(lacking)[:20])}")
            continue
        lines: dict[str, list[str]] = {}
        for word in sorted(filter(None, needed)):
            lines.setdefault(word[0], []).append(word)
        text = "".join(f"{' '.join(each)}\n" for each in lines.values())
        (DATA / name).write_text(_HEADER + text, "utf-8")
    return 1 if check and missing else 0


if __name__ == "__main__":
    sys.exit(main())
