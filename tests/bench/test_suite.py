"""The suite as a child: what it is told, how it is followed, and what is left when it ends badly."""

from __future__ import annotations

import os
import platform
import signal
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest

from metalassay.bench import suite
from metalassay.bench.suite import Step
from metalassay.errors import UserError

# Stands for pytest: writes events and a result as the suite does.
CHILD = """
import json, sys, time, pathlib
result, events = (word.partition("=")[2] for word in sys.argv[-2:])
def tell(**line):
    with open(events, "a") as stream:
        stream.write(json.dumps(line) + "\\n")
TRAIN = "test_transit_cnn.py::test_transit_cnn[transit-cnn-b64-train-float32]"
INFER = "test_transit_cnn.py::test_transit_cnn[transit-cnn-b64-infer-float32]"
"""
TRAIN = Step("cpu", "transit-cnn", 64, "train")
INFER = Step("cpu", "transit-cnn", 64, "infer")


class Heard:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def begins(self, what: str) -> None:
        self.lines.append(f"begins {what}")

    def ends(self, what: str, outcome: str, seconds: float) -> None:
        self.lines.append(f"{outcome} {what}")

    def tick(self) -> None:
        pass


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def run(monkeypatch: pytest.MonkeyPatch, program: str, heard: Heard | None = None) -> suite.Ran:
    command = [sys.executable, "-c", CHILD + textwrap.dedent(program)]
    monkeypatch.setattr(suite, "_command", lambda *_, **__: list(command))
    monkeypatch.setattr(suite, "_LOOK_EVERY", 0.01)
    return suite.run("cpu", suite.QUICK, 1.0, heard or Heard())


def test_each_step_is_reported_as_it_begins_and_ends(
    monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    heard = Heard()
    ran = run(
        monkeypatch,
        """
        tell(what="begins", test=TRAIN)
        tell(what="ends", test=TRAIN, outcome="passed", text="")
        tell(what="begins", test=INFER)
        tell(what="ends", test=INFER, outcome="failed", text="AssertionError: logits\\nare off")
        pathlib.Path(result).write_text('{"benchmarks": [1]}')
        sys.exit(1)
        """,
        heard,
    )
    assert heard.lines == [
        "begins cpu: transit-cnn training, batch 64",
        "measured cpu: transit-cnn training, batch 64",
        "begins cpu: transit-cnn inference, batch 64",
        "failed: AssertionError: logits are off cpu: transit-cnn inference, batch 64",
    ]
    assert ran == suite.Ran({"benchmarks": [1]}, {INFER: "failed: AssertionError: logits are off"})
    assert list(temporary.iterdir()) == []


def test_a_failed_self_test_is_no_error_and_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run(monkeypatch, 'tell(what="stops", text="selftest FAILED: a sleep"); sys.exit(20)')
    assert ran == suite.Ran(None, {}, "selftest FAILED: a sleep")


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("print('E   ImportError: no torch'); print('1 error in 2 s'); sys.exit(4)", "ImportError"),
        ("print('the last words'); sys.exit(3)", "the last words"),
        ("sys.exit(0)", "it said nothing"),
        ("pathlib.Path(result).write_text('{\"benchmarks\":'); sys.exit(1)", "said nothing"),
        ("tell(what='stops', text='--device: no mps'); sys.exit(4)", "--device: no mps"),
        ("import os; os.kill(os.getpid(), 9)", "code -9"),
    ],
)
def test_an_end_without_a_result_names_why(
    program: str, why: str, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    with pytest.raises(UserError, match=why):
        run(monkeypatch, program)
    assert list(temporary.iterdir()) == []


def test_an_interruption_ends_the_child_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, temporary: Path, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    program = f"""
    import os
    pathlib.Path({str(begun)!r} + "-").write_text(str(os.getpid()))
    os.rename({str(begun)!r} + "-", {str(begun)!r})
    time.sleep(60)
    """

    def interrupt() -> None:
        while not begun.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    # Whoever starts the tests in the background has SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            run(monkeypatch, program)
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)
    assert list(temporary.iterdir()) == []


def test_nothing_of_the_user_changes_what_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-x")
    monkeypatch.setenv("PYTEST_PLUGINS", "mine")
    environment = suite._environment()
    assert {name for name in environment if name.startswith("PYTEST_")} == {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD"
    }
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    command = suite._command(tmp_path, "cpu", suite.QUICK, 5.0, emulated=False)
    assert "--need-selftest" in command
    assert "--allow-emulated" not in command
    chosen = "(transit-cnn-b64- or gpt-small-b4-) and not test_mlx"
    assert command[command.index("-k") + 1] == chosen
    rehearsal = suite._command(tmp_path, "mps", suite.QUICK, 5.0, emulated=True)
    assert {"--emulate-mps", "--allow-emulated"} <= set(rehearsal)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    on_a_mac = suite._command(tmp_path, "mps", suite.QUICK, 5.0, emulated=True)
    assert "--emulate-mps" not in on_a_mac
    assert "--allow-emulated" in on_a_mac


def test_a_line_that_is_still_being_written_waits(tmp_path: Path) -> None:
    file = tmp_path / "events"
    file.write_text('{"what": 1}\n{"wh')
    with file.open() as stream:
        assert list(suite._lines(stream)) == [{"what": 1}]
        file.write_text('{"what": 1}\n{"what": 2}\n')
        assert list(suite._lines(stream)) == [{"what": 2}]


def test_the_full_run_holds_the_quick_one() -> None:
    assert set(suite.QUICK) < set(suite.FULL)
    assert len(suite.steps(("mps", "cpu"), suite.QUICK)) == 8
