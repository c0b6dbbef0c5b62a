"""The command fix: what it shows, asks, changes, and how it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_environment import Environment

from metalassay.cli import main
from metalassay.environment import managers
from metalassay.fix import apply, distributions, record, resolve
from metalassay.fix.apply import Result
from metalassay.fix.verify import Verdict
from metalassay.matrix.resolver import Failure


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Return an environment with accelerate 1.8.0; the installer accepts every plan as it is."""
    made = Environment(tmp_path / "env")
    made.add("accelerate", "1.8.0")
    made.add("torch", "2.13.0")
    monkeypatch.setattr(
        resolve, "ask", lambda manager, there, wanted: {**there.versions, "accelerate": "1.15.0"}
    )
    monkeypatch.setattr(managers, "install_command", lambda manager, wanted: ["pip", *wanted])
    return made


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Collect what would be installed; every change succeeds."""
    asked: list[tuple[str, ...]] = []

    def change(manager: object, wanted: tuple[str, ...], fixes: object, **_: object) -> Result:
        asked.append(wanted)
        return Result(apply.FIXED, (), Verdict((), (), ("Trainer",)))

    monkeypatch.setattr(apply, "apply", change)
    return asked


class Terminal(io.StringIO):
    """A standard input at which somebody sits."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_the_plan_is_shown_and_nothing_is_changed(
    environment: Environment, applied: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    before = environment.state()
    assert main.main(["fix", "--env", environment.python]) == 1
    said = capsys.readouterr().out
    assert "accelerate  1.8.0 -> 1.15.0" in said
    assert "metalassay fix --apply" in said
    assert applied == []
    assert environment.state() == before


@pytest.mark.parametrize(
    ("answer", "changes"), [("y\n", 1), ("YES\n", 1), ("\n", 0), ("n\n", 0), ("", 0)]
)
def test_apply_asks_first(
    answer: str,
    changes: int,
    environment: Environment,
    applied: list[tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main.main(["fix", "--env", environment.python, "--apply"]) == 1 - changes
    assert len(applied) == changes


def test_without_a_terminal_nothing_is_changed_unless_yes_is_said(
    environment: Environment,
    applied: list[tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert main.main(["fix", "--env", environment.python, "--apply"]) == 2
    assert "no terminal to ask at, so nothing was changed" in capsys.readouterr().err
    assert applied == []
    assert main.main(["fix", "--env", environment.python, "--apply", "--yes"]) == 0
    assert applied == [("accelerate~=1.15.0",)]
    assert "Fixed. Tried: Trainer." in capsys.readouterr().out


def test_the_document_is_alone_on_stdout(
    environment: Environment, applied: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["fix", "--env", environment.python, "--apply", "--yes", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["schema"] == {"name": "metalassay.fix", "version": 1}
    assert made["requirements"] == ["accelerate~=1.15.0"]
    assert made["changes"][0]["before"] == "1.8.0"
    assert made["result"] == {"state": "fixed", "why": [], "tested": ["Trainer"], "before": {}}


def test_an_index_that_does_not_answer_is_one_line_and_no_change(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def dead(*_: object) -> object:
        return Failure("Failed to fetch: connection refused")

    monkeypatch.setattr(resolve, "ask", dead)
    before = environment.state()
    assert main.main(["fix", "--env", environment.python, "--apply", "--yes"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "connection refused; nothing was changed" in said.err
    assert environment.state() == before


@pytest.mark.parametrize(
    "arguments",
    [["--yes"], ["--apply", "--undo"], ["--ignore", "nonsense"], ["--env", "/no/such"], ["--timeout", "0"]],
)  # fmt: skip
def test_bad_input_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main.main(["fix", *arguments])
    except SystemExit as ended:  # of the parser
        code = int(ended.code or 0)
    assert code == 2
    assert "next: " in capsys.readouterr().err


def test_a_healthy_environment_is_left_alone(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.add("accelerate", "1.15.0")
    assert main.main(["fix", "--env", environment.python, "--apply", "--yes"]) == 0
    assert "No change of version makes this set better" in capsys.readouterr().out


def test_undo_without_a_change_is_one_line(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["fix", "--env", environment.python, "--undo", "--yes"]) == 2
    assert "left to undo" in capsys.readouterr().err


def test_an_interruption_says_how_to_undo(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(manager: managers.Manager, *_: object, **__: object) -> Result:
        kept = record.make(distributions.read(manager.python), ["pip"], ())
        record.write(kept, record.INSTALLING)
        raise KeyboardInterrupt

    monkeypatch.setattr(apply, "apply", interrupted)
    assert main.main(["fix", "--env", environment.python, "--apply", "--yes"]) == 130
    said = capsys.readouterr().err
    assert "may be half changed" in said
    assert f"next: metalassay fix --undo --env {environment.prefix}" in said
    before = environment.state()
    environment.add("accelerate", "1.15.0")
    assert main.main(["fix", "--env", environment.python, "--undo", "--yes"]) == 0
    assert environment.state() == before


def test_a_kill_during_the_installation_can_be_undone(
    environment: Environment, tmp_path: Path
) -> None:
    before = environment.state()
    marker = tmp_path / "installing"
    code = f"""
import sys, time
from pathlib import Path
from metalassay.environment import managers
from metalassay.fix import apply
from metalassay.smoke import parent
parent.run = lambda *_, **__: ()
program = "import shutil, time; from pathlib import Path;" \\
    "shutil.rmtree({str(environment.site / "accelerate")!r}); Path({str(marker)!r}).touch(); time.sleep(60)"
managers.install_command = lambda *_: [sys.executable, "-c", program]
manager = managers.Manager("uv venv", {environment.python!r}, Path({str(environment.prefix)!r}))
apply.apply(manager, ("accelerate~=1.9.0",), ())
"""
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    while not marker.exists():
        assert child.poll() is None
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert environment.state() != before
    assert main.main(["fix", "--env", str(environment.prefix), "--undo", "--yes"]) == 0
    assert environment.state() == before
