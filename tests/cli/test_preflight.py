"""`metalassay preflight`: it runs a program and reports the result, also if the program fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest
from foreground import foreground

from metalassay.cli.main import main
from metalassay.mps.preflight import run


@pytest.mark.slow
def test_the_calls_before_a_failure_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "train.py"
    script.write_text("import torch\ntorch.ones(3).mode()\nraise ValueError('broken')")
    saved = tmp_path / "trace.json"
    assert main(["preflight", "--save", str(saved), "--", sys.executable, str(script)]) == 2
    printed = capsys.readouterr()
    assert "mode  1 call" in printed.out
    assert "ended with ValueError: broken" in printed.err
    # A saved trace is judged again without running anything.
    assert main(["preflight", "--trace", str(saved), "--json", "--torch", "2.5"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["judged_for"], answer["findings"][0]["operator"]) == ("2.5.1", "mode")


@pytest.mark.parametrize("program", [["train.py"], ["-m", "train"], ["-c", "import torch"]])
def test_an_interpreter_without_torch_is_one_line_and_no_traceback(
    program: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text("import torch\n")
    venv.create("bare", with_pip=False)
    python = str(Path("bare", "Scripts" if sys.platform == "win32" else "bin", "python"))
    assert main(["preflight", "--", python, *program]) == 2
    assert capfd.readouterr().err == (
        f"metalassay: preflight needs torch, which {python} does not have\n"
        f"  next: {python} -m pip install torch, or name the Python that has it\n"
    )


@pytest.mark.slow
def test_a_program_without_an_operator_is_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["preflight", "--", sys.executable, "-c", "pass"]) == 2
    assert "no operator was recorded" in capsys.readouterr().err


@pytest.mark.slow
def test_the_calls_before_an_interruption_are_reported(tmp_path: Path) -> None:
    script, ready = tmp_path / "train.py", tmp_path / "ready"
    script.write_text(
        f"import time, torch\ntorch.ones(3).mode()\nopen({str(ready)!r}, 'w')\ntime.sleep(60)"
    )
    with foreground():
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
    assert "; interrupted" in " ".join(printed.split())
    assert "mode  1 call" in printed


def test_a_recording_that_cannot_be_saved_is_one_line_and_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "trace", lambda program, seconds: ({}, 0))
    (tmp_path / "file").touch()
    saved = tmp_path / "file" / "trace.json"
    assert main(["preflight", "--save", str(saved), "--", "python", "train.py"]) == 2
    first, following, _ = capsys.readouterr().err.split("\n")
    assert first.startswith(f"metalassay: cannot write {saved}: ")
    assert following == "  next: name another file with --save"
