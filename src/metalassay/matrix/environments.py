"""Builds the environment of a row from its lock, and again only when lock or interpreter change.

noxfile.py imports this module in nox's own environment: it takes the standard library and packaging only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

from metalassay import files
from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.matrix.matrix_file import FILE, Row
from metalassay.matrix.resolver import Failure, run_uv

_STAMP = "metalassay-lock.json"


@dataclass(frozen=True)
class Interpreter:
    """The program and the name of a Python, as in "CPython 3.11.7"."""

    path: Path
    name: str


def interpreter(row: Row, say: Callable[[str], object] | None = None) -> Interpreter:
    """Return the interpreter of a row: the one that runs this if the row names it, else the first found.

    Where this machine has none of those that the row names, uv downloads the first one, as it does for
    any program unless its settings forbid that; ``say`` is told before. Without ``say``, nothing is
    downloaded. Raises ``UserError`` when there is none in the end.
    """
    if not row.pythons or runs_this(row.pythons):
        return Interpreter(Path(sys.executable), versions.interpreter())
    for version in row.pythons:
        if found := _on_this_machine(version):
            return found
    missing = f"{FILE}: row {row.id}: there is no Python {' or '.join(row.pythons)} on this machine"
    first = row.pythons[0]
    why = ""
    if say is not None:
        say(
            f"{missing.removeprefix(f'{FILE}: row ')}: uv downloads {first}, unless its settings forbid that"
        )
        downloaded = _download(first)
        if not isinstance(downloaded, Failure):
            return downloaded
        why = f", and uv did not download one: {downloaded.why}"
    raise UserError(f"{missing}{why}", f"uv python install {first}, or correct the row")


def runs_this(pythons: Sequence[str]) -> bool:
    """Return whether the interpreter that runs this is one for which packages have their wheels."""
    without_gil = sysconfig.get_config_var("Py_GIL_DISABLED")
    usual = sys.implementation.name == "cpython" and not without_gil
    return usual and "{}.{}".format(*sys.version_info) in pythons


_FOUND: dict[
    str, Interpreter
] = {}  # many rows have the same, and asking uv takes a tenth of a second


def _on_this_machine(version: str) -> Interpreter | None:
    if version not in _FOUND:
        path = run_uv(["python", "find", "--no-python-downloads", version], timeout=60)
        # uv stops at a shim of pyenv whose version is not switched on, and does not look behind it.
        found = _in_pyenv(version) if isinstance(path, Failure) else Path(path.strip())
        if found is None:
            return None
        _FOUND[version] = _asked(found)
    return _FOUND[version]


def _download(version: str) -> Interpreter | Failure:
    """Let uv fetch an interpreter.

    It does so for an environment as its settings say; `uv python install` would heed no "manual" there, and
    would put a program on PATH as well.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = run_uv(["venv", "--quiet", "--python", version, f"{folder}/environment"])
    if isinstance(made, Failure):
        return made
    return _on_this_machine(version) or Failure("it was downloaded, and uv does not find it")


def _in_pyenv(version: str) -> Path | None:
    """Return the newest interpreter of a version such as "3.12" that pyenv has, or None."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [
        python
        for python in root.glob("versions/*/bin/python")
        if re.fullmatch(rf"{re.escape(version)}(\.\d+)?", python.parts[-3])
    ]
    return max(found, key=lambda python: Version(python.parts[-3]), default=None)


def _asked(python: Path) -> Interpreter:
    """Ask an interpreter for its name; its own answer is the only one that is always right."""
    question = "import platform as p; print(p.python_implementation(), p.python_version())"
    try:
        done = subprocess.run(  # noqa: S603  (an interpreter that was found, no shell)
            [python, "-I", "-c", question], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"{python} does not start: {error}", "repair it, or remove it") from None
    return Interpreter(python, done.stdout.strip())


def project(root: Path) -> dict[str, Any]:
    """Return what pyproject.toml says of the project that decides what is installed."""
    with (root / "pyproject.toml").open("rb") as stream:
        table = tomllib.load(stream)["project"]
    names = ("name", "requires-python", "dependencies", "optional-dependencies")
    entries = ("scripts", "entry-points")
    return {name: table[name] for name in (*names, *entries) if name in table}


def own_requirements(root: Path, extra: str) -> list[str]:
    """Return what metalassay itself needs in an environment, with one of its extras.

    An extra that names another one, as in "metalassay[compat]", contains it.
    """
    table = project(root)
    needed = list(table["dependencies"])
    for requirement in table["optional-dependencies"][extra]:
        inner = re.fullmatch(rf"{table['name']}\[([\w,-]+)\]", requirement)
        for name in inner[1].split(",") if inner else ():
            needed += own_requirements(root, name)
        if not inner:
            needed.append(requirement)
    return list(dict.fromkeys(needed))


@contextlib.contextmanager
def alone(
    folder: Path, *, shared: bool = False, waits: Callable[[], object] | None = None
) -> Iterator[int]:
    """Hold the lock of a folder while the body runs; wait for whoever holds it now.

    ``waits`` is called once if somebody does. With ``shared``, others may hold it at the same time if they share it too. Yields the descriptor: a
    child that inherits it holds the lock as long as it lives, even if this process is killed.
    """
    folder = Path(os.path.realpath(folder))
    files.make_folder(folder.parent)
    # Beside the folder: uv clears it to make a new environment.
    with (folder.parent / f"{folder.name}.lock").open("a") as stream:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(stream, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if waits:
                waits()
            fcntl.flock(stream, kind)
        yield stream.fileno()


def all_of(environments: Path) -> Path:
    """Return what the rows share and a benchmark holds alone, as ``alone`` wants it."""
    return environments / "metalassay"


@contextlib.contextmanager
def first_free(environments: Path) -> Iterator[tuple[Path, int]]:
    """Hold the lock of the first environment for smoke tests that nobody uses while the body runs.

    These rows differ in few packages, so they take turns in one environment: its next row replaces
    what differs, which takes seconds. Yields its folder and the descriptor of its lock, as ``alone``.
    """
    files.make_folder(environments)
    for number in itertools.count(1):
        folder = Path(os.path.realpath(environments)) / f"smoke-{number}"
        with (folder.parent / f"{folder.name}.lock").open("a") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield folder, stream.fileno()
            return


def folder_of(row_id: str, environments: Path) -> Path:
    """Return the folder of a row's environment."""
    return environments / f"compat-{re.sub(r'[^A-Za-z0-9_]+', '-', row_id)}"


def python_of(environment: Path) -> Path:
    """Return the interpreter of an environment."""
    return environment / "bin" / "python"


def key_of(root: Path | None, lock: Sequence[str], python: Interpreter) -> str:
    """Return the hash of what an environment is built from: lock, interpreter and project, if any."""
    ours = [str(root.resolve()), project(root)] if root else []
    inputs = [list(lock), python.name, *ours]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def is_built(
    environment: Path, root: Path | None, lock: Sequence[str], python: Interpreter
) -> bool:
    """Return whether an environment was built from exactly this and needs nothing."""
    try:
        return (environment / _STAMP).read_text("utf-8") == key_of(root, lock, python)
    except OSError:
        return False


def build(
    environment: Path, root: Path | None, lock: Sequence[str], python: Interpreter, keep_open: int
) -> Failure | None:
    """Make the environment have exactly the lock, and metalassay from ``root``; do nothing if it does.

    ``root`` None leaves metalassay out, and builds nothing from source: that a package of the lock has no
    wheel is a fact about the packages, and comes back as a conflict.
    Returns why that failed, or None. The folder's lock (``alone``) must be held; ``keep_open`` is its
    descriptor.
    """
    if is_built(environment, root, lock, python):
        return None
    stamp = environment / _STAMP
    stamp.unlink(missing_ok=True)  # from here on, nobody knows what the environment has
    if not _same_interpreter(environment, python):
        made = run_uv(
            ["venv", "--quiet", "--clear", "--python", str(python.path), str(environment)],
            keep_open=[keep_open],
        )
        if isinstance(made, Failure):
            return made
    pins = environment / "metalassay-lock.txt"
    pins.write_text("\n".join(lock) + "\n", "utf-8")
    inside = ["--python", str(python_of(environment))]
    commands = [["sync", *inside, *([] if root else ["--no-build"]), str(pins)]]
    if root:
        commands.append(["install", *inside, "--no-deps", "--editable", str(root.resolve())])
    for command in commands:
        done = run_uv(["pip", *command], keep_open=[keep_open])
        if isinstance(done, Failure):
            if without := re.search(r"Because (\S+) has no usable wheels", done.why):
                return Failure(f"{without[1]} has no wheel for {python.name} here", conflict=True)
            # The lock was resolved already: whatever fails now is a fact about this machine.
            return Failure(f"it resolves, but the installation failed: {done.why}")
    stamp.write_text(key_of(root, lock, python), "utf-8")
    return None


def _same_interpreter(environment: Path, python: Interpreter) -> bool:
    if not python_of(environment).exists():
        return False
    try:
        return _asked(python_of(environment)).name == python.name
    except UserError:
        return False  # the interpreter that it was made from is gone
