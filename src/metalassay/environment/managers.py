"""How an environment is managed, and the command that installs into it: uv, poetry, conda, pip.

Goes by files beside and inside the environment; starts nothing.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from metalassay import files
from metalassay.environment.interpreters import Interpreter

UV_PROJECT, UV_VENV = "uv project", "uv venv"
POETRY, PDM, PIPENV, PIXI = "poetry", "pdm", "pipenv", "pixi"
CONDA, VENV, SYSTEM = "conda", "venv", "system"

LOCKED = {
    UV_PROJECT: "uv.lock",
    POETRY: "poetry.lock",
    PDM: "pdm.lock",
    PIPENV: "Pipfile.lock",
    PIXI: "pixi.lock",
}
"""The kinds whose lock file decides what is installed, with its name."""

UNDOES = {
    UV_PROJECT: "uv run",
    POETRY: "poetry sync",
    PDM: "pdm sync",
    PIPENV: "pipenv sync",
    PIXI: "pixi run",
}
"""The command of each such kind that puts back what the lock file says."""

GET_UV = "https://docs.astral.sh/uv/getting-started/installation/"

# Named differently on conda-forge than on the package index.
_CONDA_NAMES = {"torch": "pytorch", "huggingface-hub": "huggingface_hub"}


@dataclass(frozen=True)
class Manager:
    """How an environment is managed.

    ``kind`` is one of the constants of this module, ``python`` the environment's interpreter and
    ``prefix`` its folder. ``project`` is the folder of the project that it belongs to, ``lock`` the
    lock file that decides what is installed, and ``requirements`` the requirements*.txt beside it.
    ``externally_managed``: the operating system refuses installs there (PEP 668). ``rosetta``: an
    Intel Python on an Apple chip. ``has_uv``: uv can be run here. ``from_conda`` are the packages
    (of those asked for) that conda installed, and not pip.
    """

    kind: str
    python: str
    prefix: Path
    project: Path | None = None
    lock: Path | None = None
    requirements: tuple[Path, ...] = ()
    has_pip: bool = True
    has_uv: bool = False
    externally_managed: bool = False
    in_venv: bool = True
    rosetta: bool = False
    from_conda: tuple[str, ...] = ()

    @property
    def undone_by(self) -> str:
        """Return the command that undoes what pip installs, such as "uv run"; "" where none does."""
        return UNDOES.get(self.kind, "") if self.lock else ""


def detect(
    interpreter: Interpreter,
    *,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    system: str | None = None,
    chip: str | None = None,
) -> Manager:
    """Find out how the environment of an interpreter is managed.

    ``folder`` is the working directory, ``environ`` the environment variables, ``system`` what
    ``platform.system()`` returns and ``chip`` the name of the processor; the first three default to
    those of this process. A file that cannot be read counts as absent.
    """
    here = Path.cwd() if folder is None else folder
    environ = os.environ if environ is None else environ
    system = platform.system() if system is None else system
    prefix, python = Path(interpreter.prefix), interpreter.python
    marks = _pyvenv(prefix)
    if extended := marks.get("extends-environment"):  # `uv run --with metalassay`: a layer above
        prefix, python = Path(extended), str(_python_in(Path(extended)) or python)
        marks = _pyvenv(prefix)
    in_venv = interpreter.prefix != interpreter.base_prefix
    conda = (prefix / "conda-meta").is_dir()
    kind, project = _project(prefix, here, environ, made_by_uv="uv" in marks)
    if not kind:
        if conda and not in_venv:
            kind = CONDA
        elif in_venv:
            kind = UV_VENV if "uv" in marks else VENV
        else:
            kind = SYSTEM
    beside = project or (prefix.parent if in_venv else here)
    lock = project / LOCKED[kind] if project and kind in LOCKED else None
    return Manager(
        kind=kind,
        python=python,
        prefix=prefix,
        project=project,
        lock=lock if lock is not None and lock.is_file() else None,
        requirements=_requirements(beside),
        has_pip=interpreter.has_pip,
        has_uv=shutil.which("uv", path=environ.get("PATH", os.defpath)) is not None,
        externally_managed=not in_venv
        and not conda
        and Path(interpreter.stdlib, "EXTERNALLY-MANAGED").is_file(),
        in_venv=in_venv,
        rosetta=system == "Darwin" and interpreter.machine == "x86_64" and "Apple" in (chip or ""),
        from_conda=tuple(
            dict.fromkeys(each.name for each in interpreter.installs if each.installer == "conda")
        ),
    )


def install_command(
    manager: Manager, requirements: Sequence[str], *, folder: Path | None = None
) -> list[str]:
    """Return the words of the command that installs ``requirements`` the way this manager does.

    In a project it is the command that changes the project, so that its next run keeps the change.
    ``folder`` is where the command will run (default: the working directory). Empty where nothing
    should be installed, or without requirements; ``advice`` says what to do instead.
    """
    if manager.externally_managed or not requirements:
        return []
    here = Path.cwd() if folder is None else folder
    inside = manager.project in (here, *here.parents)
    elsewhere = None if inside else manager.project
    if manager.kind in LOCKED:
        return [*_add(manager.kind, elsewhere), *requirements]
    names = {_name(each) for each in requirements}
    if manager.kind == CONDA and names <= set(manager.from_conda):
        begin = ["conda", "install", "-p", str(manager.prefix), "-c", "conda-forge"]
        return [*begin, *map(_for_conda, requirements)]
    if manager.kind == UV_VENV or not manager.has_pip:
        if not manager.has_uv and _own_pip():
            return [
                sys.executable,
                "-m",
                "pip",
                "--python",
                manager.python,
                "install",
                *requirements,
            ]
        return ["uv", "pip", "install", "--python", manager.python, *requirements]
    return [manager.python, "-m", "pip", "install", *requirements]


def advice(manager: Manager) -> str:
    """Return what to do before, or instead of, the install command; "" where it just works."""
    if manager.externally_managed:
        make = "uv venv" if manager.has_uv else "python3 -m venv .venv"
        return f"this Python belongs to the operating system; make an environment: {make}"
    with_uv = manager.kind == UV_VENV or (manager.kind not in LOCKED and not manager.has_pip)
    if not manager.has_uv and (manager.kind == UV_PROJECT or (with_uv and not _own_pip())):
        return f"install uv first: {GET_UV}"
    return ""


def describe(manager: Manager) -> str:
    """Describe the environment in a few words, as in "uv project with uv.lock"."""
    if manager.externally_managed:
        return "Python of the operating system"
    words = {VENV: "virtual environment", SYSTEM: "Python outside a virtual environment"}
    text = words.get(manager.kind, manager.kind)
    if manager.lock:
        text += f" with {manager.lock.name}"
    elif manager.in_venv and not manager.has_pip:
        text += " without pip"
    return text


def _add(kind: str, project: Path | None) -> list[str]:
    """Return the beginning of the command that adds to a project; ``project`` if not run inside it."""
    where = [] if project is None else [str(project)]
    if kind == UV_PROJECT:
        return ["uv", "add", *(["--project", *where] if where else [])]
    if kind == POETRY:
        return ["poetry", *(["--directory", *where] if where else []), "add"]
    if kind == PDM:
        return ["pdm", "add", *(["--project", *where] if where else [])]
    if kind == PIXI:
        return ["pixi", "add", *(["--manifest-path", *where] if where else []), "--pypi"]
    # pipenv has no option for the folder of the project.
    return [*(["env", f"PIPENV_PIPFILE={where[0]}/Pipfile"] if where else []), "pipenv", "install"]


def _project(
    prefix: Path, here: Path, environ: Mapping[str, str], *, made_by_uv: bool
) -> tuple[str, Path | None]:
    """Return the kind and the folder of the project that an environment belongs to; ("", None): none."""
    if prefix.parent.name == "envs" and prefix.parent.parent.name == ".pixi":
        return PIXI, prefix.parents[2]
    pipenv = _text(prefix / ".project").strip()
    if pipenv and _is_file(Path(pipenv, "Pipfile")):
        return PIPENV, Path(pipenv)
    if prefix.name == ".venv":
        order = (
            (UV_PROJECT, PDM, POETRY, PIPENV) if made_by_uv else (POETRY, PDM, PIPENV, UV_PROJECT)
        )
        for kind in order:
            manifest = "Pipfile" if kind == PIPENV else "pyproject.toml"
            if _is_file(prefix.parent / LOCKED[kind]) and _is_file(prefix.parent / manifest):
                return kind, prefix.parent
    named = environ.get("UV_PROJECT_ENVIRONMENT")
    if named:
        for folder in (here, *here.parents):
            if _is_file(folder / LOCKED[UV_PROJECT]) and _same(folder / named, prefix):
                return UV_PROJECT, folder
    if "pypoetry" in prefix.parts:
        above = (each for each in (here, *here.parents) if _is_file(each / LOCKED[POETRY]))
        return POETRY, next(above, None)
    return "", None


def _same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve()
    except (OSError, RuntimeError):  # RuntimeError: a loop of links, before Python 3.13
        return False


def _pyvenv(prefix: Path) -> dict[str, str]:
    """Return the settings of pyvenv.cfg; none where it is missing or damaged."""
    settings = {}
    for line in _text(prefix / "pyvenv.cfg").splitlines():
        key, equals, value = line.partition("=")
        if equals:
            settings[key.strip().lower()] = value.strip()
    return settings


def _python_in(prefix: Path) -> Path | None:
    places = (prefix / "bin" / "python", prefix / "Scripts" / "python.exe")
    return next((place for place in places if _is_file(place)), None)


def _requirements(folder: Path) -> tuple[Path, ...]:
    try:
        return tuple(sorted(path for path in folder.glob("requirements*.txt") if path.is_file()))
    except OSError:
        return ()


def _text(path: Path) -> str:
    try:
        return files.content(path).decode("utf-8", "replace")
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return ""


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _own_pip() -> bool:
    """Return whether the Python that runs this has pip, which can install into another one."""
    return util.find_spec("pip") is not None


def _name(requirement: str) -> str:
    return Requirement(requirement).name


def _for_conda(text: str) -> str:
    """Return a requirement as conda writes it: ``accelerate~=1.9.0`` is ``accelerate=1.9``."""
    requirement = Requirement(text)
    name = _CONDA_NAMES.get(requirement.name, requirement.name)
    bounds = []
    for specifier in requirement.specifier:
        if specifier.operator != "~=":
            bounds.append(str(specifier))
            continue
        *series, last = Version(specifier.version).release
        text = ".".join(map(str, series))
        if len(series) > 1 and not last and len(requirement.specifier) == 1:
            return f"{name}={text}"  # 1.9.0 is the first of 1.9
        series[-1] += 1
        bounds += [f">={specifier.version}", f"<{'.'.join(map(str, series))}"]
    return name + ",".join(bounds)
