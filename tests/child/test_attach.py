"""What happens after which import, beyond what the tests of each part show."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from child_run import run

from metalassay.child import attach
from metalassay.child import run as runs
from metalassay.supervise import protocol


@pytest.mark.parametrize(
    ("command", "worker"),
    [
        (
            [
                "python",
                "-c",
                "from multiprocessing.spawn import spawn_main",
                "--multiprocessing-fork",
            ],
            True,
        ),
        (["python", "-c", "from multiprocessing.forkserver import main; main(8)"], True),
        (["python", "train.py"], False),
    ],
)
def test_workers_of_multiprocessing(
    monkeypatch: pytest.MonkeyPatch, command: list[str], worker: bool
) -> None:
    monkeypatch.setattr(sys, "orig_argv", command)
    assert attach.is_worker() is worker


def test_outside_a_run_nothing_is_attached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(protocol.FOLDER_VARIABLE, raising=False)
    runs.current.cache_clear()
    attach.after_import(ModuleType("torch"))
    attach.at_exit()
    runs.current.cache_clear()


def test_an_exception_in_a_function_is_reported_with_its_message() -> None:
    code = "def fails(): raise KeyError('lost')\nfails()"
    (ended,) = run([sys.executable, "-c", code]).of("ended")
    assert ended["exception"] == "KeyError: 'lost'"


def test_an_exception_of_a_module_that_runs_as_a_program_is_reported(tmp_path: Path) -> None:
    (tmp_path / "failing_here.py").write_text("raise OSError('disk')\n")
    (ended,) = run([sys.executable, "-m", "failing_here"], path=[tmp_path]).of("ended")
    assert ended["exception"] == "OSError: disk"


def test_an_interrupt_is_left_to_its_signal() -> None:
    """To report it, modules would be imported, and Python would forget to end by the signal."""
    ended = run([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGINT)"])
    assert ended.of("ended") == []
