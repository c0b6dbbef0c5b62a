"""Collects what `metalassay submit` may keep: python tools/submit_words.py [--check] [--modules SITE_PACKAGES ...].

The words are those of the texts that metalassay itself writes into result files, read from its source: string
literals of the modules that measure and judge, names and reasons of the compatibility suite, reasons of the
matrix. The packages are those that the recorded runs installed, as their locks name them, with NVIDIA's
versions, which look like addresses. The rows are those of the matrix and of the recorded runs. The modules are
the parts of the names of the files that public packages install: those of the recorded tracebacks, and with
``--modules`` those in folders of installed packages, added to what is there. All lists are shipped; a test
holds that nothing is missing in them.
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

from metalassay.environment import versions

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
# The packages whose modules are listed whole; of others, those in tracebacks.
_TRACED = (
    *("accelerate", "_pytest", "datasets", "huggingface_hub", "peft", "pluggy", "safetensors"),
    *("tokenizers", "torch", "transformers", "trl", "triton"),
)
_FRAME = re.compile(
    r"(?:(?:site-packages/|(python)?)((?:[\w.]+/)*\w+\.py))(?:\", line |:)\d+,? (?:in )?([\w<>]+)"
)
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
    """Return the packages of the recorded runs, of the matrix, and those that a result records."""
    found: set[str] = set()
    for path in sorted((ROOT / "docs" / "evidence").glob("*/*.json")):
        document = json.loads(path.read_text("utf-8"))
        pins = (document.get("origin") or {}).get("lock", [])
        found.update(pin.partition("==")[0] for pin in pins)
        found.update(pin for pin in pins if pin.partition("==")[2].count(".") > 2)
        found.update(document.get("versions", {}))
        found.update(_name(each) for each in (document.get("set") or {}).get("requires", []))
    for row in _rows():
        found.update(_name(each) for each in row.get("requires", ()))
    found |= {*versions.STACK, *versions.MACHINE}  # whose versions a result records
    return found | {"python", "pip", "uv", "wheel"}


def rows_needed() -> set[str]:
    """Return the ids of the rows of the matrix and of the recorded runs."""
    found = {str(row["id"]) for row in _rows()}
    for document in _recorded():
        if isinstance(document.get("set"), dict):
            found.add(document["set"]["id"])
    return found


def modules_needed() -> set[str]:
    """Return ``package:part`` for the names of modules in recorded tracebacks, and ``functions:part``."""
    found: set[str] = set()
    for document in _recorded():
        for text in _strings(document):
            for function in re.findall(r"^<frozen [a-z_.]+>:\d+ (\w+)$", text):
                found.update(f"functions:{part}" for part in _parts(function))
            for _, place, function in _FRAME.findall(text):
                top, *rest = str(place).removesuffix(".py").split("/")
                if re.fullmatch(r"(?:python)?3\.\d+", top):
                    top = "python"
                if top in (*_TRACED, "python"):
                    found.update(f"{top}:{part}" for name in rest for part in _parts(name))
                    found.update(f"functions:{part}" for part in _parts(function.strip("<>")))
    return found


def modules_installed(folder: Path) -> set[str]:
    """Return ``package:part`` for the modules of packages in a folder."""
    return {
        f"{package}:{part}"
        for package in _TRACED
        for path in (folder / package).rglob("*.py")
        for name in path.relative_to(folder / package).with_suffix("").parts
        for part in _parts(name)
    }


def _parts(name: str) -> Iterator[str]:
    """Yield what underscores join in the name of a module or a function."""
    yield from (part.lower() for part in name.split("_") if re.fullmatch(r"[A-Za-z]\w*", part))


def _recorded() -> Iterator[dict[str, Any]]:
    for path in sorted((ROOT / "docs" / "evidence").glob("*/*.json")):
        yield json.loads(path.read_text("utf-8"))
    for path in sorted((ROOT / "tests" / "data" / "runs").glob("*.json")):
        yield json.loads(path.read_text("utf-8"))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


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
    found: set[str] = set()
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        start, colon, rest = line.partition(": ")
        found.update(f"{start}:{word}" if colon else word for word in (rest or line).split())
    return found


def main() -> int:
    """Write the lists, or say what they lack."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument(
        "--modules",
        nargs="+",
        type=Path,
        default=[],
        metavar="SITE_PACKAGES",
        help="folders to read",
    )
    options = parser.parse_args()
    lists = {
        "words.txt": words_needed(),
        "packages.txt": packages_needed(),
        "rows.txt": rows_needed(),
        "modules.txt": modules_needed(),
    }
    for folder in options.modules:
        lists["modules.txt"] |= modules_installed(folder)
    missing = 0
    for name, needed in lists.items():
        written = _written(name)
        lacking = needed - written
        missing += len(lacking)
        if options.check:
            if lacking:
                print(f"{name} lacks {' '.join(sorted(lacking)[:20])}")
            continue
        if name == "modules.txt":
            needed |= written  # of packages that are not installed here
        lines: dict[str, list[str]] = {}
        for word in sorted(filter(None, needed)):
            start, colon, part = word.rpartition(":")
            lines.setdefault(start + colon or word[0], []).append(part)
        text = "".join(
            f"{start} {' '.join(each)}\n" if start.endswith(":") else f"{' '.join(each)}\n"
            for start, each in lines.items()
        )
        (DATA / name).write_text(_HEADER + text, "utf-8")
    return 1 if options.check and missing else 0


if __name__ == "__main__":
    sys.exit(main())
