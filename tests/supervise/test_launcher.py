"""One start of a program: what is refused beforehand, and what is known of its end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
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
        ([""], "the name of the program is empty", "metalassay run -- python train.py"),
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


def test_descriptors_that_we_inherited_are_the_programs() -> None:
    run = f"{sys.executable} -m metalassay run --"
    done = subprocess.run(
        ["/bin/bash", "-c", f"{run} cat <(echo hi) && {run} sh -c 'echo data >&9' 9>&1"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "hi\ndata\n", done.stderr


def test_the_program_inherits_none_of_our_own_descriptors() -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("no list of descriptors here")
    code = "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"
    run = [sys.executable, "-m", "metalassay", "run", "--", sys.executable, "-c", code]
    bare = subprocess.run(run[-3:], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    under = subprocess.run(run, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert under.stdout == bare.stdout


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_that_programs_define_reaches_the_program(number: signal.Signals) -> None:
    code = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(6))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)"
    )
    run = [sys.executable, "-m", "metalassay", "run", "--", sys.executable, "-c", code]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "up\n"
        child.send_signal(number)
        assert child.wait(20) == 6


@pytest.mark.parametrize(
    ("text", "said", "next_step"),
    [
        ("echo 1", 'has no "#!" line', "metalassay run -- sh"),
        (
            "#!/no/such/interpreter\n",
            'the interpreter in its "#!" line does not exist',
            "head -n 1",
        ),
    ],
)
def test_a_script_that_no_system_can_start_is_told_apart(
    folder: Path, text: str, said: str, next_step: str
) -> None:
    script = folder / "script"
    script.write_text(text)
    script.chmod(0o755)
    with pytest.raises(UserError, match=said) as caught:
        start(folder, str(script))
    assert caught.value.next_step.startswith(next_step)
