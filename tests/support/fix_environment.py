"""A small real environment with made-up packages, and an installer that does to it what a test says."""

from __future__ import annotations

import hashlib
import json
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

from metalassay.environment import managers
from metalassay.environment.managers import Manager


def make(prefix: Path) -> str:
    """Make a virtual environment without pip, and return its Python."""
    venv.EnvBuilder(symlinks=True).create(prefix)
    return str(prefix / "bin" / "python")


def site(prefix: Path) -> Path:
    """Return the folder of packages of an environment."""
    return next((prefix / "lib").glob("python3*")) / "site-packages"


def install(
    prefix: Path,
    name: str,
    version: str,
    files: Mapping[str, str] | None = None,
    *,
    requires: Sequence[str] = (),
    direct: Mapping[str, object] | None = None,
) -> None:
    """Put a distribution into an environment; ``files`` are relative to its folder of packages."""
    folder = site(prefix)
    info = f"{name}-{version}.dist-info"
    required = "".join(f"Requires-Dist: {each}\n" for each in requires)
    texts = {f"{name}/__init__.py": f"VERSION = '{version}'\n"} if files is None else dict(files)
    texts |= {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}",
        f"{info}/INSTALLER": "pip\n",
    }
    if direct is not None:
        texts[f"{info}/direct_url.json"] = json.dumps(direct)
    for file, text in texts.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text, "utf-8")
    rows = "".join(f"{file},,\n" for file in (*texts, f"{info}/RECORD"))
    (folder / info / "RECORD").write_text(rows, "utf-8")


def tree(folder: Path) -> dict[str, str]:
    """Return every file and link below a folder with the hash of its content, but what comes by itself."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if {"__pycache__", ".metalassay"}.intersection(path.relative_to(folder).parts):
            continue
        if path.is_symlink():
            found[str(path.relative_to(folder))] = f"-> {path.readlink()}"
        elif path.is_file():
            rights = oct(path.stat().st_mode)
            found[str(path.relative_to(folder))] = (
                rights + hashlib.sha256(path.read_bytes()).hexdigest()
            )
    return found


def installer(folder: Path, code: str) -> list[str]:
    """Return a command that runs ``code``, which knows the environment as ``SITE`` and these functions."""
    program = folder / "installer.py"
    program.write_text(
        f"import os, pathlib, shutil, signal, sys, time\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"sys.path.insert(0, {str(Path(managers.__file__).parents[2])!r})\n"
        "import fix_environment\nPREFIX = pathlib.Path(os.environ['VIRTUAL_ENV'])\n"
        f"SITE = fix_environment.site(PREFIX)\nHERE = pathlib.Path({str(folder)!r})\n"
        "def remove(name):\n"
        "    for each in SITE.glob(f'{name}-*.dist-info'): shutil.rmtree(each)\n"
        "    shutil.rmtree(SITE / name, ignore_errors=True)\n"
        "def replace(name, version, **more):\n"
        "    remove(name); fix_environment.install(PREFIX, name, version, **more)\n" + code,
        "utf-8",
    )
    return [sys.executable, str(program)]


def manager(prefix: Path, kind: str = managers.VENV, project: Path | None = None) -> Manager:
    """Return how the environment is managed: as a plain one, if nothing else is said."""
    lock = project / managers.LOCKED[kind] if project is not None else None
    return Manager(
        kind,
        str(prefix / "bin" / "python"),
        prefix,
        project=project,
        lock=lock,
        has_uv=True,
        has_pip=True,
    )


def interpreter_that_dies(prefix: Path) -> None:
    """Let the Python of an environment end before it runs anything."""
    (site(prefix) / "dies.pth").write_text("import os; os._exit(9)\n", "utf-8")
