"""The suites are named by their modules, and other runs keep options of the same names for themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = "metalassay.testing.pytest_suites"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a package as the wheel has it, first on the path of a child; return the child's folder."""
    package = tmp_path / "site" / "metalassay"
    package.mkdir(parents=True)
    for part in (ROOT / "src" / "metalassay").iterdir():
        if part.name != "__pycache__":
            (package / part.name).symlink_to(part)
    for name in ("compat", "benchmarks"):
        (package / name).symlink_to(ROOT / name)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    here = tmp_path / "here"
    here.mkdir()
    (here / "pytest.ini").touch()
    return here


def pytest_in(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run pytest in a folder; return its exit code and its output."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_compatibility_tests_run_by_their_name(installed: Path) -> None:
    arguments = ["--pyargs", "metalassay.compat", "--bug=transformers-torch-extra-caps-torch"]
    code, output = pytest_in(installed, *arguments)
    assert code == 0, output
    assert "known bugs" in output


def test_the_benchmarks_are_found_by_their_name(installed: Path) -> None:
    arguments = ["--pyargs", "metalassay.benchmarks", "--collect-only", "--batch-size=3"]
    code, output = pytest_in(installed, *arguments)
    assert code == 0, output
    assert "transit-cnn-b3" in output


def test_the_options_are_known_to_our_suites_only(installed: Path) -> None:
    (installed / "test_theirs.py").write_text("def test_it(): pass\n")
    (installed / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--device', default='theirs')\n"
        "def pytest_report_header(config):\n    return 'device ' + config.getoption('--device')\n"
    )
    code, output = pytest_in(installed, "-p", PLUGIN, "-v")
    assert code == 0, output
    assert "device theirs" in output
    code, output = pytest_in(installed, "-p", PLUGIN, "--bug=x")
    assert code == 4
    assert "unrecognized arguments: --bug=x" in output
