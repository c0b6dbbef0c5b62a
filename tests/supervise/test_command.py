"""``metalassay run``: the program's exit code, its signals, restarts, and that nothing survives it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from limited_program import SECONDS, STOPPED, running, wait_until_stopped
from run_options import options

from metalassay import bugs
from metalassay.errors import UserError
from metalassay.supervise import command
from metalassay.supervise.command import Explained
from metalassay.supervise.ending import Policy
from metalassay.supervise.supervisor import Rules

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGSTOP")
RUN = [sys.executable, "-m", "metalassay", "run", "--max-cpu"]


@posix
@pytest.mark.parametrize(
    ("code", "expected"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137)]
)
def test_the_exit_code_is_that_of_the_program(code: str, expected: int) -> None:
    done = subprocess.run([*RUN, "50", "--", sys.executable, "-c", code])
    assert done.returncode == expected


@posix
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_a_stopped_program(number: signal.Signals) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("the tests run under nohup, which the program inherits")
    with running(*STOPPED) as limited:
        program = wait_until_stopped(limited)
        limited.send_signal(number)
        assert limited.wait(SECONDS) == 128 + number
        assert not program.is_running() or program.status() == psutil.STATUS_ZOMBIE


@posix
def test_a_program_handles_sigterm_itself() -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)"
    )
    with running(*RUN, "50", "--", sys.executable, "-c", code) as limited:
        assert limited.stdout
        assert limited.stdout.readline() == "up\n"
        limited.terminate()
        assert limited.wait(SECONDS) == 5


@posix
@pytest.mark.slow
def test_ctrl_c_in_a_terminal_reaches_the_program_once(tmp_path: Path) -> None:
    import pty

    code = (
        "import signal, sys, time\n"
        "received = []\n"
        "signal.signal(signal.SIGINT, lambda *_: received.append(1))\n"
        "print('up', flush=True)\n"
        "while not received: time.sleep(0.01)\n"
        "time.sleep(1)\n"  # a second signal would arrive by now
        f"open({str(tmp_path / 'received')!r}, 'w').write(str(len(received)))\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(RUN[0], [*RUN, "50", "--", sys.executable, "-c", code])  # noqa: S606
    output = b""
    while b"up" not in output:
        output += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    with contextlib.suppress(OSError):  # how Linux reports the end of a terminal
        while os.read(terminal, 1000):
            pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (tmp_path / "received").read_text() == "1"


@posix
def test_an_ignored_signal_stays_ignored() -> None:
    # As under nohup: the program inherits it.
    code = "import signal; raise SystemExit(signal.getsignal(signal.SIGHUP) != signal.SIG_IGN)"
    shell = "trap '' HUP; exec \"$@\""
    done = subprocess.run(
        ["/bin/sh", "-c", shell, "sh", *RUN, "50", "--", sys.executable, "-c", code]
    )
    assert done.returncode == 0


@posix
def test_the_second_ctrl_c_kills_a_program_that_ignores_the_first() -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True)\n"
        "time.sleep(60)"
    )
    with running(
        sys.executable, "-m", "metalassay", "run", "--", sys.executable, "-c", code
    ) as run:
        assert run.stdout
        child = psutil.Process(int(run.stdout.readline()))
        run.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert run.poll() is None
        run.send_signal(signal.SIGINT)
        assert run.wait(SECONDS) == 128 + signal.SIGKILL
        assert not child.is_running()


@posix
def test_nothing_is_left_of_a_run_that_was_killed_itself(tmp_path: Path) -> None:
    code = "import os, time; print(os.environ['METALASSAY_RUN'], os.getpid(), flush=True); time.sleep(60)"
    with running(
        sys.executable, "-m", "metalassay", "run", "--", sys.executable, "-c", code
    ) as run:
        assert run.stdout
        folder, pid = run.stdout.readline().split()
        program = psutil.Process(int(pid))
        run.kill()
        deadline = time.monotonic() + SECONDS
        while (program.is_running() or Path(folder).exists()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not program.is_running()
        assert not Path(folder).exists()


@posix
def test_nothing_is_left_of_a_run_that_ended(tmp_path: Path) -> None:
    code = "import os; print(os.environ['METALASSAY_RUN'])"
    done = subprocess.run(
        [*RUN, "99", "--", sys.executable, "-c", code], capture_output=True, text=True
    )
    assert not Path(done.stdout.strip()).exists()


# Fails with the text in its first argument in the first two starts, and counts its starts in a file.
FAILS_TWICE = (
    "import os, sys\n"
    "with open(sys.argv[2], 'a') as starts: starts.write(os.environ['METALASSAY_RESTARTS'])\n"
    "if os.environ['METALASSAY_RESTARTS'] in '01': sys.exit(sys.argv[1])"
)


@posix
@pytest.mark.parametrize(
    ("last_words", "restarts", "code", "starts", "said"),
    [
        ("ReadTimeout: the network is away", 3, 0, "012", "start 3 of 4"),
        ("ReadTimeout: the network is away", 1, 1, "01", "not started again: no restart is left"),
        ("OSError: [Errno 28] No space left on device", 3, 1, "0", "not started again"),
        ("ValueError: x", 3, 1, "01", "ended in the same way twice"),
    ],
)
def test_a_program_is_started_again_if_the_cause_may_pass(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    last_words: str,
    restarts: int,
    code: int,
    starts: str,
    said: str,
) -> None:
    program = (sys.executable, "-c", FAILS_TWICE, last_words, str(tmp_path / "starts"))
    chosen = options(*program, policy=Policy(restarts, 0.01), log=tmp_path / "log")
    assert command.run(chosen) == code
    assert (tmp_path / "starts").read_text() == starts
    assert said in capfd.readouterr().err
    assert said in (tmp_path / "log").read_text()


@posix
def test_a_signal_while_it_waits_for_a_restart_ends_it() -> None:
    run = [sys.executable, "-m", "metalassay", "run", "--restart", "3", "--backoff", "60", "--"]
    with running(*run, sys.executable, "-c", "raise SystemExit('ReadTimeout')") as waiting:
        assert waiting.stderr
        while "start 2 of 4 in 60 s" not in waiting.stderr.readline():
            pass
        waiting.send_signal(signal.SIGTERM)
        assert waiting.wait(SECONDS) == 128 + signal.SIGTERM


@posix
def test_an_end_that_a_known_bug_explains_is_not_repeated(
    capfd: pytest.CaptureFixture[str],
) -> None:
    asked: list[tuple[str, str | None]] = []

    def explain(text: str, python: str | None) -> Explained:
        asked.append((text, python))
        return Explained(("it is the bug x",), "x")

    failing = options("sh", "-c", "echo boom; exit 1", policy=Policy(3, 0.01), explain=explain)
    assert command.run(failing) == 1
    assert asked == [("boom\n", None)]
    err = capfd.readouterr().err
    assert "it is the bug x" in err
    assert "not started again: x explains it" in err


@posix
def test_what_the_program_leaves_behind_is_ended_and_named(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert command.run(options("sh", "-c", "sleep 61 & exit 0")) == 0
    assert "ended 1 process that the program left behind: sleep" in capfd.readouterr().err


@posix
def test_a_program_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    script = tmp_path / "script"
    script.write_text("no program")
    script.chmod(0o755)
    with pytest.raises(UserError, match='has no "#!" line'):
        command.run(options(str(script)))
    assert [signal.getsignal(number) for number in numbers] == before


def test_windows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metalassay.supervise.command.os", SimpleNamespace(name="nt"))
    with pytest.raises(UserError, match="macOS or Linux"):
        command.run(options("true"))


def test_all_patches_are_brought_in() -> None:
    assert set(command.PATCHES) == {bug.patch for bug in bugs.load()} - {None}


@posix
@pytest.mark.parametrize("first", ["", "import torch\n"], ids=["bare", "torch"])
def test_a_python_that_ctrl_c_ended_ends_as_it_does_alone(first: str) -> None:
    code = f"import os\n{first}os.kill(os.getpid(), 2)\nimport time\ntime.sleep(9)"
    run = [sys.executable, "-m", "metalassay", "run", "--restart", "2", "--backoff", "0.1", "--"]
    done = subprocess.run([*run, sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130
    assert "start 2 of" not in done.stderr


@posix
def test_a_program_that_finished_by_itself_has_finished(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("metalassay.supervise.memory_watch.EVERY", 0.3)
    code = "held = bytearray(300 * 2**20)\nimport time\ntime.sleep(6)\nprint('done')"
    chosen = options(
        sys.executable, "-c", code, rules=Rules(memory=200 * 2**20), policy=Policy(1, 0.1)
    )
    assert command.run(chosen) == 0
    out, err = capfd.readouterr()
    assert out == "done\n"
    assert "asking it to save and end" in err
    assert "it ended by itself before that" in err


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_program_whose_output_was_lost_has_not_succeeded() -> None:
    with Path("/dev/full").open("wb") as full:
        run = [sys.executable, "-m", "metalassay", "run", "--", "echo", "x"]
        assert subprocess.run(run, stdout=full, stderr=full).returncode == command.OUTPUT_LOST


@posix
def test_a_run_without_room_for_its_own_files_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("metalassay.supervise.protocol.write_config", full)
    with pytest.raises(UserError, match="No space left on device"):
        command.run(options("touch", str(tmp_path / "started")))
    assert not (tmp_path / "started").exists()


# A Trainer that holds 4 MB more after each step of the first start; it knows nothing of metalassay.
GROWS = """
import os, sys, time
import torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

held = []

class Rows(Dataset):
    def __len__(self):
        return 10_000
    def __getitem__(self, row):
        return {"x": torch.randn(4), "labels": torch.tensor(row % 2)}

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 2)
    def forward(self, x, labels):
        if os.environ["METALASSAY_RESTARTS"] == "0":
            held.append(torch.randn(2**20))
            time.sleep(0.02)
        return {"loss": torch.nn.functional.cross_entropy(self.linear(x), labels)}

settings = TrainingArguments(
    sys.argv[1], max_steps=2000, per_device_train_batch_size=2, use_cpu=True, report_to=[],
    disable_tqdm=True, save_strategy="no", logging_strategy="no",
)
trainer = Trainer(Model(), settings, train_dataset=Rows())
first = trainer.train().metrics
print("steps", trainer.state.global_step, flush=True)
"""


@posix
@pytest.mark.slow
def test_a_trainer_that_takes_too_much_saves_ends_starts_again_and_continues(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    chosen = options(
        sys.executable,
        "-c",
        GROWS,
        str(tmp_path / "out"),
        max_cpu=1.0,
        reports=True,
        resume=True,
        policy=Policy(1, 0.1),
        rules=Rules(memory=1200 * 2**20),
    )
    assert command.run(chosen) == 0
    out, err = capfd.readouterr()
    first, second = (int(line.split()[1]) for line in out.splitlines() if line.startswith("steps"))
    assert 0 < first < second == 2000
    assert "more than the 1.2 GiB that you allow; asking it to save and end" in err
    assert f"a checkpoint was saved at step {first:,}: {tmp_path}/out/checkpoint-{first}" in err
    assert f"continuing from {tmp_path}/out/checkpoint-{first}" in err


@posix
def test_a_program_that_cannot_save_is_ended_at_its_limit(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("metalassay.supervise.supervisor.SAVE", 0.5)
    monkeypatch.setattr("metalassay.supervise.memory_watch.EVERY", 0.5)
    code = "held = bytearray(300 * 2**20)\nimport time\ntime.sleep(60)"
    chosen = options(sys.executable, "-c", code, rules=Rules(memory=200 * 2**20))
    assert command.run(chosen) == command.ENDED_BY_US
    err = capfd.readouterr().err
    assert "more than the 200 MiB that you allow" in err
    assert "it does not end by itself; ending it" in err
