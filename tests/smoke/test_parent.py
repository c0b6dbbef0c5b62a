"""The parent of the smoke test: how it reads a child that answers, crashes, hangs, or is none."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from metalassay.errors import UserError
from metalassay.smoke import parent


def interpreter(folder: Path, code: str) -> str:
    """Return a "Python" that runs ``code`` instead of the child; ``STAGES`` are the stages asked for."""
    program = folder / "program.py"
    program.write_text(
        "import json, os, sys, time\nSTAGES = sys.argv[1:]\n"
        "def say(stage, **fields): print(json.dumps({'stage': stage, **fields}), flush=True)\n"
        + code
    )
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nshift\nexec "{sys.executable}" "{program}" "$@"\n')
    python.chmod(0o755)
    return str(python)


def test_a_crash_is_told_and_the_stages_after_it_still_run(tmp_path: Path) -> None:
    python = interpreter(
        tmp_path,
        "for stage in STAGES:\n"
        "    say(stage, status='begun')\n"
        "    if stage == 'Accelerator':\n"
        "        print('about to die', file=sys.stderr, flush=True); os.abort()\n"
        "    say(stage, status='passed')\n",
    )
    stages = parent.run(python, ("import accelerate", "Accelerator", "Trainer"))
    assert [stage.status for stage in stages] == ["passed", "crashed", "passed"]
    assert stages[1].error == "the process was ended by SIGABRT: about to die"
    assert parent.broken(stages) == (stages[1],)


def test_a_stage_that_hangs_is_ended(tmp_path: Path) -> None:
    python = interpreter(tmp_path, "say(STAGES[0], status='begun'); time.sleep(60)\n")
    (stage,) = parent.run(python, ("Trainer",), timeout=1)
    assert (stage.status, stage.error) == ("crashed", "it did not end within 1 s")


def test_an_exit_in_the_middle_is_a_crash_and_not_a_pass(tmp_path: Path) -> None:
    python = interpreter(tmp_path, "say(STAGES[0], status='begun'); os._exit(0)\n")
    (stage,) = parent.run(python, ("Trainer",))
    assert (stage.status, stage.works) == ("crashed", False)
    assert stage.error == "the process ended with exit code 0"


def test_what_libraries_print_is_no_answer(tmp_path: Path) -> None:
    python = interpreter(
        tmp_path,
        "print('[]\\nhello {\\n{\"stage\": 3}')\nsay('Trainer', status='passed')\n"
        "say('Trainer', status='begun'); say('Accelerator', status='passed')\n"
        "say('Trainer', status='failed', error='E: \\x1b[1mno\\nway', frames=['a:1 b'])\n",
    )
    (stage,) = parent.run(python, ("Trainer",))
    assert stage == parent.Stage("Trainer", "failed", "E: no way", ("a:1 b",))


def test_stages_that_begin_are_reported_as_they_do(tmp_path: Path) -> None:
    python = interpreter(
        tmp_path, "for s in STAGES: say(s, status='begun'); say(s, status='absent', error='no')\n"
    )
    begun: list[str] = []
    stages = parent.run(python, ("LoRA", "Trainer"), begins=begun.append)
    assert begun == ["LoRA", "Trainer"]
    assert not any(stage.works or stage.broken for stage in stages)


def test_a_program_that_is_no_python_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did not begin"):
        parent.run("/bin/true", ("Trainer",))
    with pytest.raises(UserError, match="does not start"):
        parent.run(str(tmp_path / "none"), ("Trainer",))
    with pytest.raises(ValueError, match="there is no stage 'Trainr'"):
        parent.run(sys.executable, ("Trainr",))


def test_a_run_that_is_stopped_leaves_no_child(tmp_path: Path) -> None:
    stop = threading.Event()
    pid = tmp_path / "pid"
    python = interpreter(
        tmp_path,
        f"open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
        "say(STAGES[0], status='begun'); time.sleep(60)\n",
    )
    with pytest.raises(parent.StoppedError):
        parent.run(python, ("Trainer",), begins=lambda _: stop.set(), stop=stop)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_child_keeps_the_descriptors_that_it_is_given(tmp_path: Path) -> None:
    python = interpreter(
        tmp_path,
        "say(STAGES[0], status='begun')\n"
        "try: os.fstat(int(os.environ['HELD'])); say(STAGES[0], status='passed')\n"
        "except OSError: say(STAGES[0], status='failed')\n",
    )
    with (tmp_path / "lock").open("w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HELD", str(stream.fileno()))
        (kept,) = parent.run(python, ("Trainer",), keep_open=[stream.fileno()])
        (closed,) = parent.run(python, ("Trainer",))
    assert (kept.status, closed.status) == ("passed", "failed")


def test_an_answer_about_a_stage_that_was_not_asked_for_is_none(tmp_path: Path) -> None:
    python = interpreter(
        tmp_path, "say('something', status='begun'); say('something', status='passed')\n"
    )
    with pytest.raises(UserError, match="did not begin"):
        parent.run(python, ("Trainer",))


def test_what_a_dead_child_leaves_behind_is_ended_too(tmp_path: Path) -> None:
    python = interpreter(
        tmp_path,
        "say(STAGES[0], status='begun')\nif not os.fork(): time.sleep(600)\nos._exit(1)\n",
    )
    (stage,) = parent.run(python, ("Trainer",), timeout=1)
    assert stage.status == "crashed"
