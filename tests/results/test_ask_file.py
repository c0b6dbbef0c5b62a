"""The file of the answers about a user's model: what is read of it, and what is refused."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hand_made import LINUX, M4

from metalassay.fields import FieldError
from metalassay.machine.hardware import Hardware
from metalassay.results import ask_file, load
from metalassay.results.ask_file import Asked, Stand
from metalassay.results.parse import parse

ROOFLINE = {
    "intensity": 4.0,
    "achieved_gflop_s": 30.0,
    "gflop_s": 120.0,
    "gb_s": 12.0,
    "text": ["so a step"],
}
NUMBERS = {"right": False, "text": ["WRONG: gelu", "next"]}


def document(machine: Hardware = M4, device: str = "mps", **more: Any) -> dict[str, Any]:
    about = {"device": device, "batch_size": 8, "parameters": 1234, "emulated": {device: False}}
    made = ask_file.document(
        model="my.py", started=datetime(2026, 11, 29, 13, tzinfo=UTC), about=about,
        versions={"torch": "2.13.0"}, machine=machine,
    )  # fmt: skip
    return {**made, "roofline": ROOFLINE, "numbers": NUMBERS, **more}


def read(made: dict[str, Any]) -> Asked:
    found = parse(json.dumps(made).encode(), "x.json")
    assert isinstance(found, Asked)
    return found


def test_answers_are_in_the_order_of_the_questions() -> None:
    found = read(document())
    assert found.answers == (
        ("roofline", ("so a step",)),
        ("numbers", ("WRONG: gelu", "next")),
    )
    assert (found.model, found.device, found.parameters, found.batch_size) == (
        "my.py",
        "mps",
        1234,
        8,
    )
    assert found.right is False
    assert found.stand == Stand(4.0, 30.0, 120.0, 12.0)
    assert found.when == datetime(2026, 11, 29, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    "roofline",
    [
        {"error": "no time", "next_step": "wait", "text": ["not answered"]},
        {**ROOFLINE, "achieved_gflop_s": 130.0},  # more than the peak: one of both is wrong
        {**ROOFLINE, "gb_s": 0},
    ],
)
def test_without_a_sound_answer_there_is_no_place_on_the_roofline(roofline: dict[str, Any]) -> None:
    assert read(document(roofline=roofline)).stand is None


def test_an_emulated_device_stands_nowhere() -> None:
    about = {"device": "mps", "batch_size": 8, "parameters": 4, "emulated": {"mps": True}}
    found = read(document(LINUX, about=about))
    assert found.emulated
    assert found.stand is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "metalassay.ask/2"}, "newer metalassay"),
        ({"hardware": document(LINUX)["hardware"]}, "device mps, but the machine runs Linux"),
        ({"numbers": None, "roofline": 3}, "no question was answered"),
        ({"numbers": {"right": True}}, "numbers.text is missing"),
        ({"numbers": {"right": True, "text": []}}, "the answer in words"),
        ({"numbers": {"right": "yes", "text": ["x"]}}, "numbers.right"),
        ({"roofline": {**ROOFLINE, "gb_s": "many"}}, "roofline.gb_s"),
        ({"versions": {}}, "torch is missing"),
        ({"about": {"device": "tpu"}}, "about.device"),
    ],
)
def test_what_is_no_answer_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(FieldError, match=words):
        read(document(**change))


def test_lines_are_one_line_each_and_not_endless() -> None:
    found = read(document(numbers={"text": ["a\nb\x1b[31m" + "x" * 5000] * 300}))
    lines = dict(found.answers)["numbers"]
    assert len(lines) == 100
    assert max(map(len, lines)) == 1000
    assert "\n" not in lines[0]
    assert "\x1b" not in lines[0]


def test_json_has_no_nan() -> None:
    found = ask_file.finite({"rows": [{"x": math.nan, "y": 1.5}, (math.inf, 2, None, "a", True)]})
    assert found == {"rows": [{"x": None, "y": 1.5}, [None, 2, None, "a", True]]}


def test_a_folder_is_loaded_with_the_answers_in_it(tmp_path: Path) -> None:
    (tmp_path / "ask.json").write_text(json.dumps(document()), "utf-8")
    loaded = load.load([tmp_path])
    assert [one.model for one in loaded.asked] == ["my.py"]
    assert loaded.warnings == ()
