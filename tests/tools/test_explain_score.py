"""The score of `explain` counts a right answer as right, a wrong one as wrong, and silence as itself."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from metalassay.diagnosis import explain

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "explain"
KINDS = {"bug", "limit", "operator", "api", "environment", "own code"}
KNOWN = "UnboundLocalError: cannot access local variable 'current_batch' where it is not associated with a value"
UNKNOWN = "ZeroDivisionError: division by zero"
EMPTY = {"any": ["(?i)empty"], "never": []}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "explain_score", ROOT / "tools" / "explain_score.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["explain_score"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def report(text: str, right: dict[str, Any] | None, **changed: Any) -> dict[str, Any]:
    made = {
        "id": "one",
        "kind": "bug",
        "text": text,
        "versions": "accelerate=1.8.0",
        "answer": "the loader is empty",
        **changed,
    }
    return made if right is None else {**made, "right": right}


@pytest.mark.parametrize(
    ("text", "versions", "right", "expected"),
    [
        (KNOWN, "accelerate=1.8.0", EMPTY, "right"),
        (KNOWN, "accelerate=1.8.0", {"any": ["a magnetic field"], "never": []}, "wrong"),
        (KNOWN, "accelerate=1.8.0", {"any": ["(?i)empty"], "never": ["(?i)loader"]}, "wrong"),
        # The right cure, with the statement that these versions are not affected.
        (KNOWN, "accelerate=1.15.0", EMPTY, "wrong, caveat"),
        (UNKNOWN, None, {"any": ["zero"], "never": []}, "silent"),
        (UNKNOWN, None, {"any": [], "never": [], "silent": True}, "right"),
        # What is to be left alone and is explained all the same.
        (KNOWN, "accelerate=1.8.0", {"any": [], "never": [], "silent": True}, "wrong"),
    ],
)
def test_an_answer_is_judged_by_its_check(
    tool: ModuleType, text: str, versions: str | None, right: dict[str, Any], expected: str
) -> None:
    [judged] = tool.judge([report(text, right, versions=versions)], {})
    assert judged.outcome == expected


def test_an_answer_is_not_right_for_repeating_the_question(tool: ModuleType) -> None:
    [judged] = tool.judge([report(KNOWN, {"any": ["cannot access local"], "never": []})], {})
    assert judged.outcome == "wrong"
    assert judged.shown.title


def test_a_generic_answer_has_a_caveat(tool: ModuleType) -> None:
    shown = tool.Shown("t", "an answer", elsewhere=False, generic=True)
    assert tool.outcome(shown, {"any": ["an answer"], "never": []}) == "right"
    assert tool.outcome(shown, {"any": ["another"], "never": []}) == "wrong, caveat"


def test_checks_of_their_own_file_win_and_none_may_be_missing(tool: ModuleType) -> None:
    [judged] = tool.judge(
        [report(KNOWN, {"any": ["a magnetic field"], "never": []})], {"one": EMPTY}
    )
    assert judged.outcome == "right"
    with pytest.raises(KeyError, match="one"):
        tool.judge([report(KNOWN, None)], {})


def test_it_prints_a_table_and_the_failures(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        report(KNOWN, EMPTY, id="good"),
        report(KNOWN, {"any": ["a magnetic field"], "never": []}, id="bad", answer="words " * 30),
        report(UNKNOWN, {"any": ["a magnetic field"], "never": []}, id="mute", kind="own code"),
    ]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("\n".join(json.dumps(row) for row in rows) + "\n", "utf-8")
    tool.main([str(corpus), "--failures"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines[:5]] == [
        ["kind", "reports", "right", "wrong", "wrong,", "caveat", "silent"],
        ["bug", "2", "1", "1", "0", "0"],
        ["own", "code", "1", "0", "0", "0", "1"],
        ["all", "3", "1", "1", "0", "1"],
        ["1", "of", "3", "right"],
    ]
    assert [line for line in lines if not line.startswith(" ")][-2:] == [
        "bad: wrong",
        "mute: silent",
    ]
    assert not any(line.startswith("good") for line in lines)


@pytest.mark.parametrize("name", ["reports.jsonl", "reports_2.jsonl"])
def test_the_corpus_is_complete_and_names_no_person(tool: ModuleType, name: str) -> None:
    reports = tool.load(DATA / name)
    assert len(reports) >= 60
    assert len({one["id"] for one in reports}) == len(reports)
    assert {one["kind"] for one in reports} == KINDS
    for one in reports:
        assert one["source"].startswith("https://github.com/"), one["id"]
        assert one["text"].strip(), one["id"]
        assert one["answer"].strip(), one["id"]
        assert one["versions"] is None or explain.parse_versions(one["versions"]), one["id"]
        homes = set(re.findall(r"/(?:Users|home)/([\w.-]+)", one["text"]))
        # runner: where PyTorch itself is built; data, anaconda3: folders of a server's /home
        assert homes <= {"me", "runner", "data", "anaconda3"}, one["id"]


def test_no_report_is_in_both_corpora(tool: ModuleType) -> None:
    first, second = (tool.load(DATA / name) for name in ("reports.jsonl", "reports_2.jsonl"))
    assert not {one["id"] for one in first} & {one["id"] for one in second}
    assert not {one["text"] for one in first} & {one["text"] for one in second}


@pytest.mark.parametrize("name", ["reports.jsonl", "reports_2.jsonl", "handed_checks.jsonl"])
def test_every_check_can_be_read_and_can_fail(tool: ModuleType, name: str) -> None:
    other = tool.Shown("t", "something else entirely", elsewhere=False, generic=False)
    for one in tool.load(DATA / name):
        right = one["right"]
        assert set(right) <= {"any", "never", "silent"}, one["id"]
        assert right["any"] or right.get("silent"), one["id"]
        for pattern in [*right["any"], *right["never"]]:
            re.compile(pattern)
        assert tool.outcome(other, right) == "wrong", one["id"]
