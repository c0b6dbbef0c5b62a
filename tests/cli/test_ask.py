"""`metalassay ask`: bad input in one line, one question end to end, and what is not on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metalassay.ask import children, template
from metalassay.cli.main import main

ABOUT: dict[str, Any] = {
    "devices": {"cpu": "", "mps": "built without Metal", "cuda": "no CUDA GPU"},
    "emulated": {"cpu": False},
    "parameters": 10,
    "stand_in": False,
    "torch": "2.13.0",
    "threads": 2,
    "hazards": None,
}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(template.text(), "utf-8")
    return path


def test_a_file_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", str(tmp_path / "none.py")]) == 2
    assert "is no Python file" in capsys.readouterr().err


def test_what_needs_a_gpu_is_not_on_this_machine(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def answer(facts: dict[str, Any], seconds: float) -> dict[str, Any]:
        asked.append(facts["question"])
        return (
            dict(ABOUT)
            if facts["question"] == "check"
            else {"error": "no time", "next_step": "wait"}
        )

    monkeypatch.setattr(children, "ask", answer)
    assert main(["ask", str(mine), "--only", "numbers", "--only", "compile"]) == 2
    out = capsys.readouterr().out
    assert "not on this machine: there is no GPU" in out
    assert "not answered: no time" in out
    assert asked == ["check", "compile"]
    assert main(["ask", str(mine), "--device", "mps"]) == 2
    assert "mps cannot be used here: built without Metal" in capsys.readouterr().err


def test_a_device_that_computes_something_else_is_exit_code_1(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    about = {**ABOUT, "devices": {"cpu": "", "mps": "", "cuda": "none"}, "emulated": {"mps": True}}
    numbers = {
        "device": "mps", "emulated": True, "compared": 3, "calls": 9, "random": False, "loss": 1.0, "cpu_loss": 2.0,
        "skipped": {}, "programs": ["x.py"], "right": False, "rows": [],
        "strided": 0, "not_finite": 0, "varied": {}, "elsewhere": [], "copies": [], "fallbacks": [], "step_seconds": None,
        "differences": [{"operator": "gelu", "number": 1, "what": "off", "module": "", "place": ""}],
    }  # fmt: skip
    monkeypatch.setattr(
        children,
        "ask",
        lambda facts, seconds: dict(about if facts["question"] == "check" else numbers),
    )
    assert main(["ask", str(mine), "--only", "numbers", "--json", "--quiet"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["numbers"]["right"] is False
    assert main(["ask", str(mine), "--only", "devices", "--only", "compile"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("mps is emulated on the CPU, and its times are meaningless") == 2
    assert told["about"]["device"] == "mps"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--torch", "1.0"], "torch 1.0"),
        (["--save", "none/there/file/x.json/"], "cannot write"),
        (["--output", "mine.py/x", "--profile", "--only", "preflight"], "cannot write"),
        (["--save", "mine.py"], "mine.py is there, and holds no answers of metalassay ask"),
        (["--save", "none"], "none is there, and holds no answers"),
    ],
)
def test_what_cannot_be_used_is_refused_before_minutes_of_work(
    mine: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(mine.parent)
    (mine.parent / "none").write_text("a file", "utf-8")
    monkeypatch.setattr(children, "ask", lambda facts, seconds: pytest.fail("it began"))
    assert main(["ask", "mine.py", *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert "def make" in mine.read_text("utf-8")


def test_a_question_without_an_answer_is_exit_code_2_and_the_answers_are_saved(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def answer(facts: dict[str, Any], seconds: float) -> dict[str, Any]:
        failed = {"error": "the process ended with signal 9: it said nothing", "next_step": "again"}
        return failed if facts["question"] == "compile" else {**ABOUT, "hazards": None}

    monkeypatch.setattr(children, "ask", answer)
    target = tmp_path / "ask.json"
    for _ in range(2):  # the file of an earlier call is written again
        assert main(["ask", str(mine), "--only", "compile", "--save", str(target)]) == 2
        assert "signal 9" in capsys.readouterr().out
        assert json.loads(target.read_text("utf-8"))["compile"]["error"]


def test_the_answers_are_saved_and_known_bugs_stand_where_numbers_do(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    known = {"torch": "2.13.0", "macos": "", "operators": 3, "rows": []}
    wanted: list[Any] = []

    def answer(facts: dict[str, Any], seconds: float) -> dict[str, Any]:
        wanted.append(facts["hazards"])
        return {**ABOUT, "hazards": known}

    monkeypatch.setattr(children, "ask", answer)
    target = tmp_path / "ask.json"
    assert main(["ask", str(mine), "--only", "numbers", "--save", str(target)]) == 0
    assert wanted == [True]
    assert "no known bug of torch 2.13.0 on MPS" in " ".join(capsys.readouterr().out.split())
    saved = json.loads(target.read_text("utf-8"))
    assert saved["schema"] == "metalassay.ask/1"
    assert saved["numbers"]["hazards"] == known
    assert "hazards" not in saved["about"]
    assert saved["hardware"]
    assert saved["versions"]["python"]


@pytest.mark.slow
def test_a_profile_comes_after_the_answers(
    mine: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "shown"
    call = ["ask", str(mine), "--only", "preflight", "--profile", "2", "-o", str(folder)]
    assert main(call) == 0
    out = capsys.readouterr().out
    said = " ".join(out.split())
    assert said.index("Preflight for MPS") < said.index("where a step goes: 2 profiled steps")
    assert "most memory allocated" in said
    assert "they enter no figure" in said
    assert max(map(len, out.splitlines())) <= 80 + len(str(folder))
    assert sorted(each.name for each in folder.iterdir()) == ["profile.json", "trace.json.gz"]


@pytest.mark.slow
def test_the_largest_batch_of_a_file(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", str(mine), "--only", "batch", "--most", "2", "--budget", "300"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "2,372 parameters on cpu" in out
    assert "at least 2 on cpu; --most stopped the search there" in out
