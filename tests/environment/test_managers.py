"""How an environment is managed is found out from its files, and each kind has its own command."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from metalassay.environment import interpreters, managers
from metalassay.environment.interpreters import Install, Interpreter
from metalassay.environment.managers import Manager

PYPROJECT = {"pyproject.toml": "[project]\nname = 'p'\n"}
BY_UV = {".venv/pyvenv.cfg": "home = /usr/bin\nuv = 0.13.9\n"}


def written(folder: Path, files: Mapping[str, str]) -> None:
    """Write files, and the folders above them."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def interpreter(prefix: Path, *, base: Path | None = None, pip: bool = True) -> Interpreter:
    """Return the Python of an environment; ``base`` is where its base is (default: elsewhere)."""
    return Interpreter(
        python=str(prefix / "bin" / "python"),
        prefix=str(prefix),
        base_prefix=str(base or "/usr"),
        stdlib=str(prefix / "lib"),
        machine="arm64",
        has_pip=pip,
    )


def detected(prefix: Path, folder: Path, *, pip: bool = True, **environ: str) -> Manager:
    """Return the manager of a virtual environment, seen from ``folder``."""
    made = interpreter(prefix, pip=pip)
    return managers.detect(made, folder=folder, environ=environ, system="Linux")


@pytest.mark.parametrize(
    ("files", "kind", "lock", "command"),
    [
        ({}, managers.VENV, None, "{python} -m pip install a~=1.9"),
        (PYPROJECT, managers.VENV, None, "{python} -m pip install a~=1.9"),
        (BY_UV, managers.UV_VENV, None, "uv pip install --python {python} a~=1.9"),
        # A project without a lock file: uv has not managed it yet, and would undo nothing.
        ({**BY_UV, **PYPROJECT}, managers.UV_VENV, None, "uv pip install --python {python} a~=1.9"),
        ({**BY_UV, **PYPROJECT, "uv.lock": ""}, managers.UV_PROJECT, "uv.lock", "uv add a~=1.9"),
        # uv takes over a .venv that Python's venv made.
        ({**PYPROJECT, "uv.lock": ""}, managers.UV_PROJECT, "uv.lock", "uv add a~=1.9"),
        ({"uv.lock": ""}, managers.VENV, None, "{python} -m pip install a~=1.9"),
        ({**PYPROJECT, "poetry.lock": ""}, managers.POETRY, "poetry.lock", "poetry add a~=1.9"),
        ({**PYPROJECT, "pdm.lock": ""}, managers.PDM, "pdm.lock", "pdm add a~=1.9"),
        (
            {"Pipfile": "", "Pipfile.lock": "{}"},
            managers.PIPENV,
            "Pipfile.lock",
            "pipenv install a~=1.9",
        ),
        # Two lock files: who made the environment decides.
        (
            {**BY_UV, **PYPROJECT, "uv.lock": "", "poetry.lock": ""},
            managers.UV_PROJECT,
            "uv.lock",
            "uv add a~=1.9",
        ),
        (
            {**PYPROJECT, "uv.lock": "", "poetry.lock": ""},
            managers.POETRY,
            "poetry.lock",
            "poetry add a~=1.9",
        ),
    ],
)  # fmt: skip
def test_the_files_beside_an_environment_tell_its_manager_and_the_command(
    tmp_path: Path, files: Mapping[str, str], kind: str, lock: str | None, command: str
) -> None:
    written(tmp_path, {".venv/bin/python": "", **files})
    manager = detected(tmp_path / ".venv", tmp_path)
    assert manager.kind == kind
    assert (manager.lock and manager.lock.name) == lock
    words = managers.install_command(manager, ["a~=1.9"], folder=tmp_path)
    assert " ".join(words) == command.format(python=tmp_path / ".venv" / "bin" / "python")


@pytest.mark.parametrize(
    ("kind", "begin"),
    [
        (managers.UV_PROJECT, "uv add --project {project} a"),
        (managers.POETRY, "poetry --directory {project} add a"),
        (managers.PDM, "pdm add --project {project} a"),
        (managers.PIXI, "pixi add --manifest-path {project} --pypi a"),
        (managers.PIPENV, "env PIPENV_PIPFILE={project}/Pipfile pipenv install a"),
    ],
)
def test_outside_the_project_the_command_names_it_and_below_it_does_not(
    tmp_path: Path, kind: str, begin: str
) -> None:
    project = tmp_path / "project"
    manager = Manager(kind, "python", project / ".venv", project=project)
    words = managers.install_command(manager, ["a"], folder=tmp_path)
    assert " ".join(words) == begin.format(project=project)
    inside = managers.install_command(manager, ["a"], folder=project / "src")
    assert str(project) not in " ".join(inside)


def test_an_environment_that_is_not_the_projects_is_no_project(tmp_path: Path) -> None:
    written(tmp_path, {**PYPROJECT, "uv.lock": "", "other/pyvenv.cfg": "uv = 0.13"})
    assert detected(tmp_path / "other", tmp_path).kind == managers.UV_VENV
    named = detected(tmp_path / "other", tmp_path / "src", UV_PROJECT_ENVIRONMENT="other")
    assert (named.kind, named.project) == (managers.UV_PROJECT, tmp_path)


def test_the_layer_that_uv_run_adds_belongs_to_the_environment_below(tmp_path: Path) -> None:
    written(tmp_path, {**BY_UV, **PYPROJECT, "uv.lock": "", ".venv/bin/python": ""})
    below = tmp_path / ".venv"
    written(tmp_path / "cache", {"pyvenv.cfg": f"uv = 0.13\nextends-environment = {below}\n"})
    manager = detected(tmp_path / "cache", tmp_path)
    assert (manager.kind, manager.prefix) == (managers.UV_PROJECT, below)
    assert manager.python == str(below / "bin" / "python")


def test_poetry_and_pipenv_keep_environments_in_folders_of_their_own(tmp_path: Path) -> None:
    written(tmp_path / "code", {**PYPROJECT, "poetry.lock": "", "Pipfile": "", "Pipfile.lock": ""})
    code, poetrys = tmp_path / "code", tmp_path / "pypoetry" / "virtualenvs" / "p-py3.11"
    assert detected(poetrys, code / "src").project == code
    stray = detected(poetrys, tmp_path)
    assert (stray.kind, stray.project, stray.undone_by) == (managers.POETRY, None, "")
    assert managers.install_command(stray, ["a"]) == ["poetry", "add", "a"]
    written(tmp_path, {"share/p-Xy/.project": str(code)})
    assert detected(tmp_path / "share" / "p-Xy", tmp_path).project == code


def conda(tmp_path: Path, **installers: str) -> Manager:
    """Return the manager of a conda environment whose packages came from these installers."""
    (tmp_path / "conda-meta").mkdir(exist_ok=True)
    made = dataclasses.replace(
        interpreter(tmp_path, base=tmp_path),
        installs=tuple(Install(name, "1", "x", by) for name, by in installers.items()),
    )
    return managers.detect(made, folder=tmp_path, environ={}, system="Linux")


def test_inside_conda_pip_changes_what_pip_installed_and_conda_what_conda_installed(
    tmp_path: Path,
) -> None:
    manager = conda(tmp_path, accelerate="conda", torch="conda", trl="pip")
    assert manager.kind == managers.CONDA
    begin = ["conda", "install", "-p", str(tmp_path), "-c", "conda-forge"]
    wanted = ["accelerate~=1.9.0", "torch<2.9"]
    assert managers.install_command(manager, wanted) == [
        *begin, "accelerate=1.9", "pytorch<2.9",
    ]  # fmt: skip
    with_pip = managers.install_command(manager, ["trl~=0.20", "accelerate~=1.9.0"])
    assert with_pip[:4] == [str(tmp_path / "bin/python"), "-m", "pip", "install"]


@pytest.mark.parametrize(
    ("requirement", "written_for_conda"),
    [
        ("accelerate~=1.9.0", "accelerate=1.9"),
        ("accelerate~=1.9", "accelerate>=1.9,<2"),
        ("accelerate~=1.9.3", "accelerate>=1.9.3,<1.10"),
        ("accelerate==1.9.0", "accelerate==1.9.0"),
        ("huggingface-hub>=1", "huggingface_hub>=1"),
        ("peft", "peft"),
    ],
)
def test_a_requirement_is_written_as_conda_reads_it(
    tmp_path: Path, requirement: str, written_for_conda: str
) -> None:
    name = requirement.partition("~")[0].partition("=")[0].partition(">")[0]
    manager = conda(tmp_path, **{name: "conda"})
    assert managers.install_command(manager, [requirement])[-1] == written_for_conda


def test_an_environment_of_pixi_belongs_to_the_folder_above(tmp_path: Path) -> None:
    prefix = tmp_path / ".pixi" / "envs" / "default"
    written(prefix, {"conda-meta/history": ""})
    manager = managers.detect(interpreter(prefix, base=prefix), folder=tmp_path, environ={})
    assert (manager.kind, manager.project) == (managers.PIXI, tmp_path)
    assert managers.install_command(manager, ["a"], folder=tmp_path) == [
        "pixi",
        "add",
        "--pypi",
        "a",
    ]


def test_the_operating_systems_python_gets_no_command_but_an_advice(tmp_path: Path) -> None:
    written(tmp_path, {"lib/EXTERNALLY-MANAGED": "[externally-managed]"})
    system = interpreter(tmp_path, base=tmp_path)
    manager = managers.detect(system, folder=tmp_path, environ={"PATH": ""}, system="Linux")
    assert (manager.kind, manager.externally_managed) == (managers.SYSTEM, True)
    assert managers.install_command(manager, ["a"]) == []
    assert managers.advice(manager).endswith("python3 -m venv .venv")
    # An environment made from it is one's own, although it shares the standard library.
    assert not detected(tmp_path, tmp_path).externally_managed


def test_without_pip_uv_installs_or_else_our_own_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = detected(tmp_path / "env", tmp_path, pip=False)
    python = str(tmp_path / "env" / "bin" / "python")
    assert not manager.has_uv
    monkeypatch.setattr(managers, "_own_pip", lambda: True)
    own = [sys.executable, "-m", "pip", "--python", python, "install", "a"]
    assert managers.install_command(manager, ["a"]) == own
    assert managers.advice(manager) == ""
    monkeypatch.setattr(managers, "_own_pip", lambda: False)
    assert managers.install_command(manager, ["a"])[:4] == ["uv", "pip", "install", "--python"]
    assert managers.advice(manager) == f"install uv first: {managers.GET_UV}"


def test_an_intel_python_on_an_apple_chip_runs_under_rosetta(tmp_path: Path) -> None:
    def rosetta(machine: str, system: str, chip: str | None) -> bool:
        made = Interpreter("python", str(tmp_path), "/usr", "/usr/lib", machine, True)
        return managers.detect(made, folder=tmp_path, environ={}, system=system, chip=chip).rosetta

    assert rosetta("x86_64", "Darwin", "Apple M4")
    assert rosetta("x86_64", "Darwin", "VirtualApple @ 2.50GHz")
    assert not rosetta("arm64", "Darwin", "Apple M4")
    assert not rosetta("x86_64", "Darwin", "Intel(R) Core(TM) i7-9750H")
    assert not rosetta("x86_64", "Darwin", None)
    assert not rosetta("x86_64", "Linux", "Apple M4")


def test_the_requirements_beside_an_environment_are_found(tmp_path: Path) -> None:
    written(tmp_path, {"requirements.txt": "", "requirements-dev.txt": "", "notes.txt": ""})
    names = [path.name for path in detected(tmp_path / "env", tmp_path / "x").requirements]
    assert names == ["requirements-dev.txt", "requirements.txt"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"uv", b"=\n==\n", b"home\x00 = 3"])
def test_a_damaged_pyvenv_cfg_is_that_of_a_plain_environment(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").write_bytes(content)
    assert detected(tmp_path / "env", tmp_path).kind == managers.VENV


def test_files_that_are_folders_or_links_to_themselves_count_as_absent(tmp_path: Path) -> None:
    for name in ("pyvenv.cfg", ".project", "EXTERNALLY-MANAGED"):
        (tmp_path / "env" / name).mkdir(parents=True)
    (tmp_path / "uv.lock").symlink_to("uv.lock")
    (tmp_path / "requirements.txt").mkdir()
    manager = detected(tmp_path / "env", tmp_path, UV_PROJECT_ENVIRONMENT="env")
    assert (manager.kind, manager.requirements) == (managers.VENV, ())


def test_the_environment_of_these_tests_is_found() -> None:
    manager = managers.detect(interpreters.this())
    assert manager.in_venv is (sys.prefix != sys.base_prefix)
    assert manager.python == sys.executable


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")
def test_a_real_environment_of_uv_is_recognised_by_asking_its_python(tmp_path: Path) -> None:
    uv = ["uv", "venv", "--offline", "--quiet", "--python", sys.executable, str(tmp_path / ".venv")]
    subprocess.run(uv, check=True)
    versions, asked = interpreters.ask(interpreters.find(str(tmp_path / ".venv")))
    manager = managers.detect(asked, folder=tmp_path)
    assert "python" in versions
    assert (manager.kind, manager.has_pip, manager.in_venv) == (managers.UV_VENV, False, True)
    assert managers.describe(manager) == "uv venv without pip"
