"""One start of a program: what is refused beforehand, and what is known of its end."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from metalassay.errors import UserError
from metalassay.supervise import launcher
from metalassay.supervise.launcher import End, Plan, Stopper

pytestmark = pytest.mark.skipif(os.name != "posix", reason="metalassay run needs POSIX")


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp())
    yield made
    shutil.rmtree(made)


def start(folder: Path, *command: str, **others: object) -> End:
    return launcher.start(Plan(command, **others), folder, Stopper(), print)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("program", "said", "next_step"),
    [
        ([], "no program to run", "metalassay run -- python train.py"),
        (["no-such-program"], "no program of that name is on the PATH", "check its spelling"),
        (["{folder}"], "it is a folder", "name a program"),
        (["{folder}/no.py"], "there is no such file", "metalassay run -- python train.py"),
        (["{folder}/train.py"], "it is not executable", "python {folder}/train.py"),
        (["{folder}/program"], "it is not executable", "chmod +x {folder}/program"),
    ],
)
def test_a_command_that_cannot_be_started_is_refused(
    folder: Path, program: list[str], said: str, next_step: str
) -> None:
    (folder / "train.py").touch()
    (folder / "program").touch()
    with pytest.raises(UserError, match=said) as caught:
        launcher.check([word.format(folder=folder) for word in program])
    assert next_step.format(folder=folder) in caught.value.next_step


def test_a_program_that_can_be_started_is_accepted() -> None:
    launcher.check([sys.executable, "no.py"])
    launcher.check(["sh"])


def test_the_end_has_the_code_the_output_and_the_time(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "import os, sys; print(os.environ['COLOUR']); sys.exit('bad')"
    end = start(folder, sys.executable, "-c", code, environment={"COLOUR": "green"})
    assert end.code == 1
    assert sorted(end.output.split()) == ["bad", "green"]
    assert 0 < end.seconds < 60
    assert (end.left, end.python, end.seen.by_us, end.seen.user) == ((), None, None, False)


def test_a_signal_that_ended_it_is_a_negative_code(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert start(folder, "sh", "-c", "kill -KILL $$").code == -9
