"""``pytest --emulate-mps`` in a project's own tests."""

from __future__ import annotations

import os
from pathlib import Path

import old_torch
import pytest


@pytest.mark.parametrize(
    "options",
    [
        ["-p", "metalassay.mps.emulator.pytest_plugin", "--emulate-mps"],
        ["-p", "metalassay.mps.emulator"],
    ],
    ids=["option", "plugin"],
)
def test_an_emulation_that_cannot_start_is_a_usage_error(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str]
) -> None:
    folders = [old_torch.write(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, folders)))
    pytester.makepyfile("def test_nothing(): pass")
    done = pytester.runpytest_subprocess(*options)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*cannot emulate mps: *"])


def test_without_the_option_nothing_is_emulated(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\n"
        "def test_session_is_idle():\n"
        "    session = sys.modules.get('metalassay.mps.emulator.session')\n"
        "    assert session is None or session.current() is None\n"
    )
    done = pytester.runpytest_subprocess("-p", "metalassay.mps.emulator.pytest_plugin")
    done.assert_outcomes(passed=1)
    assert "is emulated" not in done.stdout.str()


def test_a_path_after_the_option_is_no_version(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folders = [old_torch.write(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, folders)))
    pytester.mkdir("tests")
    done = pytester.runpytest_subprocess(
        "-p", "metalassay.mps.emulator.pytest_plugin", "--emulate-mps", "tests/"
    )
    # The stand-in for torch is refused, and not a release named tests/.
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*cannot emulate mps: *"])
    assert "tests/" not in done.stderr.str()
