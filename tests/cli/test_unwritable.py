"""What a command measured is printed although its file cannot be written; where that is known before, it says so at once.

One row for every option that names where a measured result goes; an option without a row fails.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench_files
import pytest
from traces import call

from metalassay import compare
from metalassay.ask import children
from metalassay.bench import suite
from metalassay.bench.suite import Ran
from metalassay.cli.main import COMMANDS, main, parser
from metalassay.compare.sampling import State
from metalassay.diagnosis import check
from metalassay.mps.preflight import run as preflight_run
from metalassay.workers import max_batch
from metalassay.workers.max_batch import Try

EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence" / "compat" / "accelerate-1.8.0.json"
TRACE = {"schema": "metalassay.trace/1", "torch": "2.13.0", "ended": "", "calls": [call("relu")]}

ASKED = {
    "devices": {"cpu": "", "mps": ""}, "emulated": {"mps": False}, "parameters": 1, "stand_in": False,
    "torch": "2.13.0", "threads": 1, "hazards": [],
}  # fmt: skip
DIFFERENT = {
    "device": "mps", "emulated": False, "compared": 1, "calls": 1, "random": False, "loss": 1.0, "cpu_loss": 1.0,
    "strided": 0, "not_finite": 0, "varied": {}, "elsewhere": [], "skipped": {}, "programs": [], "unwritten": "Not a directory", "right": False, "rows": [],
    "differences": [{"operator": "gelu", "number": 1, "what": "off", "module": "", "place": ""}],
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A command without its target, the function that measures, one in its place, and what is printed of that."""

    arguments: tuple[str, ...]
    option: str
    measures: tuple[object, str]
    instead: Callable[..., object]
    answer: str
    folder: bool = False


def compared(*arguments: Any, keep: Callable[[State], None], **_: object) -> None:
    keep(arguments[4])


def checked(words: object, variables: object, files: tuple[Path, Path], *_: object) -> None:
    files[0].with_name("new.json").write_bytes(EVIDENCE.read_bytes())


def benched(device: str, *_: object, **__: object) -> Ran:
    return Ran(bench_files.of_one_device(device))


ROWS = {
    ("compare", "--save"): Row(
        ("a.py::f", "a.py::f"),
        "--save",
        (compare.sampling, "run"),
        compared,
        "B against A: inconclusive",
    ),
    ("max-batch", "--save"): Row(
        ("transit-cnn", "--device", "cpu"),
        "--save",
        (max_batch, "attempt"),
        lambda spec, batch: Try(batch, batch <= 5, None, "out of memory"),
        "largest batch on cpu: 5",
        folder=True,
    ),
    ("preflight", "--save"): Row(
        ("--", "python", "t.py"),
        "--save",
        (preflight_run, "trace"),
        lambda *_: (TRACE, 0),
        "1 operator calls",
    ),
    ("ask", "--output"): Row(
        ("a.py", "--only", "numbers"),
        "--output",
        (children, "ask"),
        lambda facts, seconds: {**(ASKED if facts["question"] == "check" else DIFFERENT)},
        "WRONG: gelu",
        folder=True,
    ),
    ("ask", "--save"): Row(
        ("a.py", "--only", "numbers"),
        "--save",
        (children, "ask"),
        lambda facts, seconds: {
            **(ASKED if facts["question"] == "check" else DIFFERENT),
            "unwritten": "",
        },
        "WRONG: gelu",
    ),
    ("check", "--output"): Row(("--quiet",), "--output", (check, "_to_the_end"), checked, "GREEN"),
    ("bench", "--output"): Row(
        ("--device", "cpu"),
        "--output",
        (suite, "run"),
        benched,
        "this machine",
        folder=True,
    ),
}
# Their results are made from files that are kept, or are kept in a run's folder step by step.
OTHERS = {
    ("report", "--output"), ("report", "--csv"), ("submit", "--output"), ("matrix", "--output"),
    ("train", "--output"),
}  # fmt: skip
NAMES = ("--save", "--output", "--csv")


def options(command: str) -> set[tuple[str, str]]:
    """Return the options of a command, and of those below it, that name a file or folder to write."""
    top = parser([command])
    found: set[tuple[str, str]] = set()

    def walk(one: argparse.ArgumentParser) -> None:
        for action in one._actions:
            if isinstance(action, argparse._SubParsersAction):
                for each in action.choices.values():
                    walk(each)
            found.update((command, name) for name in action.option_strings if name in NAMES)

    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            walk(action.choices[command])
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_that_names_a_target_has_a_row(command: str) -> None:
    assert options(command) == {key for key in (*ROWS, *OTHERS) if key[0] == command}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.py").write_text("def f(): sum(range(100))\n")
    Path("file").touch()
    Path("folder").mkdir()


@pytest.mark.parametrize("key", ROWS)
@pytest.mark.parametrize("target", ["file/below", "folder"])
def test_a_target_that_cannot_be_written_is_said_before_anything_is_measured(
    key: tuple[str, str],
    target: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = ROWS[key]
    if target == "folder" and row.folder:
        target = "file"
    monkeypatch.setattr(*row.measures, lambda *_, **__: pytest.fail("it was measured"))
    assert main([key[0], row.option, target, *row.arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first = next(line for line in err.splitlines() if line.startswith("metalassay: "))
    assert target.split("/")[0] in first
    assert "\n  next: " in err


@pytest.mark.parametrize("key", ROWS)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_what_can_no_longer_be_written_is_printed_before_the_error(
    key: tuple[str, str],
    form: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """While it is measured, the folder of the target becomes a file, which also root cannot write below."""
    row = ROWS[key]
    Path("out").mkdir()

    def measure(*arguments: object, **named: object) -> object:
        if Path("out").is_dir():
            shutil.rmtree("out")
            Path("out").touch()
        return row.instead(*arguments, **named)

    monkeypatch.setattr(*row.measures, measure)
    target = "out" if row.folder else "out/result.json"
    assert main([key[0], row.option, target, *form, *row.arguments]) == 2
    out, err = capsys.readouterr()
    if form:
        assert json.loads(out)
    else:
        assert row.answer in out
        assert ".json" not in out  # no file that is not there
    assert "metalassay: cannot write out" in err
    assert "\n  next: " in err
