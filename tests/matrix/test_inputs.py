"""The key of a row changes with what its verdicts depend on, and with nothing else."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from metalassay.matrix import inputs
from metalassay.matrix.environments import Interpreter
from metalassay.matrix.matrix_file import Row

ROOT = Path(__file__).parents[2]
PYTHON = Interpreter(Path("/python"), "CPython 3.11.7")
ROW = Row("x", ("lib==1",), "r", ("full",))
LOCK = ("lib==1",)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with a suite that uses one module, which uses another, and one that it does not."""
    files = {
        "compat/test_x.py": "from metalassay.a import one\nNAME = 'metalassay.started.child'\n",
        "src/metalassay/__init__.py": "",
        "src/metalassay/a/__init__.py": "",
        "src/metalassay/a/one.py": "from metalassay.b.two import Two\nf'metalassay.patches.{Two}'\n",
        "src/metalassay/a/unused.py": "",
        "src/metalassay/b/__init__.py": "",
        "src/metalassay/b/two.py": "class Two: ...\n",
        "src/metalassay/b/data/bugs.toml": "x = 1\n",
        "src/metalassay/patches/__init__.py": "",
        "src/metalassay/patches/chosen.py": "",
        "src/metalassay/started/__init__.py": "",
        "src/metalassay/started/child.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def key(
    checkout: Path, row: Row = ROW, lock: tuple[str, ...] = LOCK, python: Interpreter = PYTHON
) -> str:
    inputs.code.cache_clear()
    return inputs.key(checkout, row, lock, python)


@pytest.mark.parametrize(
    "file",
    [
        "compat/test_x.py",
        "src/metalassay/a/one.py",
        "src/metalassay/b/two.py",
        "src/metalassay/b/data/bugs.toml",
        "src/metalassay/patches/chosen.py",
        "src/metalassay/started/child.py",
    ],
)
def test_a_change_of_what_the_suite_uses_changes_the_key(checkout: Path, file: str) -> None:
    before = key(checkout)
    with (checkout / file).open("a") as stream:
        stream.write("# changed\n")
    assert key(checkout) != before


@pytest.mark.parametrize("file", ["src/metalassay/a/unused.py", "README.md", "tests/test_x.py"])
def test_a_change_of_what_the_suite_does_not_use_keeps_the_key(checkout: Path, file: str) -> None:
    before = key(checkout)
    (checkout / file).parent.mkdir(exist_ok=True)
    (checkout / file).write_text("# changed\n")
    assert key(checkout) == before


def test_lock_interpreter_row_and_project_change_the_key(checkout: Path) -> None:
    keys = {
        key(checkout),
        key(checkout, lock=("lib==1", "other==2")),
        key(checkout, python=Interpreter(Path("/python"), "CPython 3.12.1")),
        key(checkout, replace(ROW, bugs=("lib-crash",))),
        key(checkout, replace(ROW, tags=("quick",))),
    }
    project = checkout / "pyproject.toml"
    project.write_text(
        project.read_text("utf-8").replace('"psutil>=5.9.8"', '"psutil>=6"'), "utf-8"
    )
    assert len({*keys, key(checkout)}) == 6


def test_the_rest_of_pyproject_keeps_the_key(checkout: Path) -> None:
    before = key(checkout)
    with (checkout / "pyproject.toml").open("a") as stream:
        stream.write("\n[tool.something]\nx = 1\n")
    assert key(checkout) == before


def test_the_key_covers_the_suite_and_the_data_of_this_checkout() -> None:
    covered = {str(path.relative_to(ROOT)) for path in inputs.files(ROOT)}
    assert covered >= {
        "compat/conftest.py",
        "src/metalassay/bugs/data/accelerate.toml",
        "src/metalassay/bugs/verdict.py",
        "src/metalassay/patches/accelerate_empty_shard.py",
        "src/metalassay/testing/pytest_recorder.py",
        "src/metalassay/mps/emulator/run_child.py",  # started by its name only
    }
    assert not [
        path for path in covered if path.startswith(("src/metalassay/cli", "src/metalassay/report"))
    ]


def test_the_commit_says_whether_files_were_changed(tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    (tmp_path / "matrix.toml").write_text("")
    assert inputs.commit(tmp_path) is None
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    clean = inputs.commit(tmp_path)
    assert clean is not None
    assert not clean.endswith("+")
    (tmp_path / "matrix.toml").write_text("x = 1")
    assert inputs.commit(tmp_path) == f"{clean}+"
