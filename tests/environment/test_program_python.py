"""Which Python a command line runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from metalassay.environment import program_python

pytestmark = pytest.mark.skipif(os.name != "posix", reason="scripts of POSIX systems")


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project" / ".venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return folder


def script(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    "command",
    [
        ["python", "train.py"],
        ["env", "-i", "B=1", "python", "train.py"],
        ["B=1", "python"],
        ["accelerate", "launch", "train.py"],
        ["through-env", "train.py"],
        ["long-path", "train.py"],
        ["uv", "run", "train.py"],
    ],
)
def test_the_python_of_a_command(bin_folder: Path, command: list[str]) -> None:
    python = str(bin_folder / "python")
    script(bin_folder, "accelerate", f"#!{python}\nimport sys\n")
    script(bin_folder, "through-env", "#!/usr/bin/env -S python\nimport sys\n")
    script(bin_folder, "long-path", f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n")
    script(bin_folder, "uv", "")
    inside = bin_folder.parents[1] / "src"
    inside.mkdir()
    assert program_python.of(command, inside) == python


@pytest.mark.parametrize(
    "command",
    [[], ["env"], ["nowhere"], ["make", "-j8"], ["shell-script"], ["gone"], ["uv", "run"]],
)
def test_none_where_nobody_can_tell(bin_folder: Path, tmp_path: Path, command: list[str]) -> None:
    script(bin_folder, "make", "\x7fELF")
    script(bin_folder, "shell-script", "#!/bin/sh\necho 1\n")
    script(bin_folder, "gone", "#!/no/bin/python\n")
    script(bin_folder, "uv", "")
    assert program_python.of(command, tmp_path) is None


def test_the_packages_of_an_environment_are_read_without_starting_it(bin_folder: Path) -> None:
    packages = bin_folder.parent / "lib" / "python3.11" / "site-packages"
    for name in ("torch-2.13.0+cpu.dist-info", "huggingface_hub-1.33.0.dist-info", "torch"):
        (packages / name).mkdir(parents=True)
    assert program_python.installed(str(bin_folder / "python")) == {
        "torch": "2.13.0+cpu",
        "huggingface-hub": "1.33.0",
    }
    assert program_python.installed("/no/bin/python") == {}
