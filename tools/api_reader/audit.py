"""Compare the API history with what installed packages say of themselves.

Compared are: every name that the history knows of a module, whether this release has it or not; every
function; and every method of every class, by its signature. Left out is what the history calls unknown,
names that a module has only while an optional package is installed (``optional`` in api_audit.toml),
modules that cannot be imported without one, and functions whose decorator hides their signature
from inspect as ``*args, **kwargs``.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from metalassay.bugs import api_history
from metalassay.bugs.api_history import History, Method
from metalassay.errors import UserError

_FOLDER = Path(__file__).parent
_HIDDEN = "*args,**kwargs"
_LIST = _FOLDER.parent / "api_audit.toml"


def run(packages: Iterable[str]) -> int:
    """Install and compare the releases in api_audit.toml; return the exit code."""
    config = tomllib.loads(_LIST.read_text("utf-8"))
    optional = tuple(config["optional"])
    different = 0
    for release in config["release"]:
        if release["package"] in packages:
            with tempfile.TemporaryDirectory(prefix="metalassay-api-") as folder:
                python = install(config, release, Path(folder))
                different += _report(release["package"], release["version"], python, optional)
    return int(different > 0)


def run_installed(packages: Iterable[str], python: Path) -> int:
    """Compare the packages that an existing environment has; return the exit code."""
    optional = tuple(tomllib.loads(_LIST.read_text("utf-8"))["optional"])
    different = 0
    for package in packages:
        code = f"from importlib.metadata import version; print(version({package!r}))"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True)
        if done.returncode == 0:
            different += _report(package, done.stdout.strip(), python, optional)
    return int(different > 0)


def _report(package: str, version: str, python: Path, optional: tuple[str, ...]) -> int:
    counts, found = compare(package, version, python)
    differences = [each for each in found if not each.startswith(optional)]
    print(f"{package} {version}: {counts}, {len(differences)} differ")
    print("".join(f"  {each}\n" for each in differences), end="", flush=True)
    return len(differences)


def install(config: Mapping[str, Any], release: Mapping[str, Any], folder: Path) -> Path:
    """Return the interpreter of a new environment with a release in it."""
    python = folder / "bin" / "python"
    wanted = [
        f"{release['package']}=={release['version']}",
        config["torch"],
        *release.get("also", ()),
    ]
    for command in (
        ["uv", "venv", "--quiet", "--python", config["python"], str(folder)],
        ["uv", "pip", "install", "--quiet", "--python", str(python), *wanted],
    ):
        if subprocess.run(command).returncode:
            raise UserError(f"cannot install {' '.join(wanted)}", "see uv's message above")
    return python


def compare(package: str, version: str, python: Path) -> tuple[str, list[str]]:
    """Return what was compared, and the differences between the history and an installed release."""
    history = api_history.history(package)
    index = history.releases.index(version)
    modules = {
        module: list(history.known_names(module))
        for module in history.module_names(index)
        if not module.startswith(api_history.MODELS) and _is_library(module)
    }
    callables: dict[str, list[str]] = {}
    for path in (*history.classes, *history.functions):
        if history.exists(path, index) and path.rpartition(".")[0] in modules:
            callables.setdefault(path.rpartition(".")[0], []).append(path.rpartition(".")[2])
    done = subprocess.run(
        [python, _FOLDER / "audit_child.py"],
        input=json.dumps({"modules": modules, "callables": callables}),
        capture_output=True,
        text=True,
    )
    if "\n@@" not in done.stdout:
        raise UserError(f"{package} {version} cannot be examined", done.stderr[-2000:])
    real = json.loads(done.stdout.rpartition("\n@@")[2])
    names, name_differences = _names(history, index, modules, callables, real)
    signatures, differences = _signatures(package, index, real["signatures"])
    counts = f"{names} names, {signatures} signatures, {len(real['failed'])} not importable here"
    return counts, name_differences + differences


def _is_library(module: str) -> bool:
    parts = module.split(".")
    return not {"tests", "test_utils", "commands", "scripts", "cli", "__main__"} & set(parts)


def _names(
    history: History,
    index: int,
    modules: Mapping[str, list[str]],
    callables: Mapping[str, list[str]],
    real: Mapping[str, Any],
) -> tuple[int, list[str]]:
    compared, differences = 0, []
    for module, there in real["names"].items():
        present = set(there)
        # What is neither defined there nor exported may depend on optional packages.
        certain = set(callables.get(module, ()))
        if "." not in module:
            certain |= {name for name in modules[module] if history.paths(name)}
        for name in modules[module]:
            if f"{module}.{name}" in real["failed"] or history.module(f"{module}.{name}").ever:
                continue
            state = history.name(module, name).states[index]
            if state is None or (state and name not in certain):
                continue
            compared += 1
            if state != (name in present):
                differences.append(f"{module}.{name}: {'has' if name in present else 'lacks'} it")
    return compared, differences


def _signatures(
    package: str, index: int, real: Mapping[str, Mapping[str, str]]
) -> tuple[int, list[str]]:
    compared, differences = 0, []
    history = api_history.history(package)
    where = {package: index}
    for path, methods in real.items():
        for method, text in methods.items():
            if path in history.classes:
                found = api_history.method(path, method, where) if method else None
                if isinstance(found, Method) and found.owner != path and method != "__init__":
                    continue  # made by a decorator or a metaclass
                ours = found.signature if isinstance(found, Method) else None
            else:
                told = history.function(path, index)
                ours = told if not isinstance(told, bool) else None
            if ours is None or text == _HIDDEN:
                continue
            if ours.any_positional and ours.any_keyword and ours.positional in ((), ("self",)):
                continue  # functools.wraps shows the signature of another function
            compared += 1
            theirs = api_history.parse(text)
            if theirs is None or _shape(ours) != _shape(theirs):
                differences.append(f"{path}.{method}: {text}")
    return compared, differences


def _shape(signature: api_history.Signature) -> tuple[object, ...]:
    return (
        signature.positional, signature.keyword_only, signature.required,
        signature.any_positional, signature.any_keyword,
    )  # fmt: skip
