"""`metalassay monitor`: bad input, and a program that ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from metalassay.cli import main
from metalassay.supervise import running


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--pid", "999999999"], "no process 999999999 runs"),
        (["--name", "no-such-program-at-all"], "no program runs whose command line contains"),
        (["--name", " "], "--name is empty"),
        (["--pid", "1", "--every", "1e9"], "cannot log every"),
    ],
)
def test_bad_input_is_one_line_with_a_next_step(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["monitor", *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "\n  next: " in err
    assert "Traceback" not in err


def test_a_program_is_watched_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1.5)"]) as child:
        assert main.main(["monitor", "--pid", str(child.pid), "--every", "0.3"]) == 0
    out, err = capsys.readouterr()
    assert "Memory Free: " in out
    assert err.startswith("metalassay: it ended; watched for ")


def test_ctrl_c_has_the_exit_code_of_shells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def line(*arguments: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "_line", line)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        assert main.main(["monitor", "--pid", str(child.pid)]) == 130
        assert child.poll() is None
        child.kill()
    assert capsys.readouterr().err.startswith("metalassay: it still runs; watched for ")
