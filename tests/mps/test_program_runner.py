"""A program run inside a process finds what it would find if Python had started it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay.mps import program_runner

REPORT = (
    "import json, sys\n"
    "print(json.dumps([__name__, sys.argv, sys.path[0], sys.modules['__main__'].__dict__ is"
    " globals()]))\n"
)
LAUNCHER = (
    "import sys\nfrom metalassay.mps import program_runner\nprogram_runner.run(sys.argv[1:])\n"
)


def output(folder: Path, *command: str) -> object:
    """Run Python in ``folder``, with the launcher beside it, and return the JSON that it prints."""
    (folder / "launcher").mkdir(exist_ok=True)
    (folder / "launcher" / "launch.py").write_text(LAUNCHER)
    source = str(Path(program_runner.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "program",
    [
        ["train.py", "--lr", "1"],
        [str(Path("scripts", "train.py"))],
        ["-m", "package.train", "--lr", "1"],
        ["-c", REPORT, "--lr", "1"],
    ],
    ids=["script", "script in a folder", "module", "code"],
)
def test_name_arguments_and_path_are_those_of_plain_python(
    tmp_path: Path, program: list[str]
) -> None:
    for folder in ("scripts", "package"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.py").write_text(REPORT)
    (tmp_path / "train.py").write_text(REPORT)
    launcher = str(Path("launcher", "launch.py"))
    assert output(tmp_path, launcher, *program) == output(tmp_path, *program)


def test_a_function_is_imported_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(f"def main():\n    print('[\"{'trained'}\"]')\n")
    assert output(tmp_path, str(Path("launcher", "launch.py")), "train:main") == ["trained"]


def test_a_safe_path_stays_safe(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import json, sys\nprint(json.dumps(sys.path))")
    launcher = str(Path("launcher", "launch.py"))
    assert output(tmp_path, "-P", launcher, "train.py") == output(tmp_path, "-P", "train.py")
