"""`metalassay preflight` and its pytest plugin: they run a program, and say so where that fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metalassay.cli.main import main
from metalassay.errors import UserError
from metalassay.mps.preflight import run


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ([], "no program"),
        (["ls"], "no Python"),
        (["python-that-is-not-there", "x.py"], "there is no python-that"),
        (["python3", "-u"], "no program"),
        (["python3", "-m"], "no program"),
        (["python3", "absent.py"], "no file absent.py"),
        (["a-b:c"], "no module:function"),
    ],
)
def test_a_program_that_cannot_be_run_is_said_in_one_line(program: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run.trace(program)


@pytest.mark.slow
def test_a_program_that_fails_leaves_what_it_ran_until_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "train.py"
    script.write_text("import torch\ntorch.ones(3).mode()\nraise ValueError('broken')")
    saved = tmp_path / "trace.json"
    assert main(["preflight", "--save", str(saved), "--", sys.executable, str(script)]) == 2
    printed = capsys.readouterr()
    assert "mode  1 call" in printed.out
    assert "ended with ValueError: broken" in printed.err
    # A kept trace is judged again without running anything.
    assert main(["preflight", "--trace", str(saved), "--json", "--torch", "2.5"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["judged_for"], answer["findings"][0]["operator"]) == ("2.5.1", "mode")


@pytest.mark.slow
def test_a_program_without_an_operator_is_not_called_fine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["preflight", "--", sys.executable, "-c", "pass"]) == 2
    assert "no operator was recorded" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_program_leaves_what_it_ran(tmp_path: Path) -> None:
    script, ready = tmp_path / "train.py", tmp_path / "ready"
    script.write_text(
        f"import time, torch\ntorch.ones(3).mode()\nopen({str(ready)!r}, 'w')\ntime.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "metalassay", "preflight", "--", sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not ready.exists() and child.poll() is None:
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does on Ctrl+C
    printed, _ = child.communicate(timeout=60)
    assert "; interrupted" in printed
    assert "mode  1 call" in printed


@pytest.mark.slow
def test_the_plugin_shows_what_tests_would_meet(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest, torch

        @pytest.fixture
        def rows():
            return torch.ones(3, 3)

        def test_mode(rows):
            assert rows.mode()
        """
    )
    done = pytester.runpytest_subprocess(
        "-p", "metalassay.mps.preflight.pytest_plugin", "--mps-preflight=2.5"
    )
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(
        ["*preflight for MPS*", "On MPS with torch 2.5.1: 1 operator would fail.", "*in test_mode"]
    )


def test_the_plugin_says_a_version_it_does_not_know(pytester: pytest.Pytester) -> None:
    done = pytester.runpytest_subprocess(
        "-p", "metalassay.mps.preflight.pytest_plugin", "--mps-preflight=9.9"
    )
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*the operators of torch 9.9 are not known*"])
