"""The process that answers: what it is asked, errors as answers, and the user's output kept apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metalassay.ask import children, template


@pytest.fixture
def facts(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "mine.py"
    path.write_text('print("hello")\n' + template.text(), "utf-8")
    return {
        "file": str(path),
        "device": "cpu",
        "torch": "",
        "hazards": True,
        "batch_size": 4,
        "folder": str(tmp_path / "shown"),
        "budget": 0.01,
        "kinds": ["cpu"],
    }


@pytest.mark.slow
def test_each_question_is_answered(facts: dict[str, Any]) -> None:
    about = children.ask({**facts, "question": "check"}, 300)
    assert about["parameters"] == 32 * 64 + 64 + 64 * 4 + 4
    assert about["devices"]["cpu"] == ""
    numbers = children.ask({**facts, "question": "numbers"}, 300)
    assert numbers["right"] is True
    assert numbers["programs"] == []
    devices = children.ask({**facts, "question": "devices"}, 300)
    assert [row["batch_size"] for row in devices["rows"]] == [1, 4, 16, 64]
    rows = children.ask({**facts, "question": "precision"}, 300)["rows"]
    assert [row["dtype"] for row in rows] == ["float32", "bfloat16", "float16"]


def test_an_error_is_an_answer(facts: dict[str, Any]) -> None:
    Path(facts["file"]).write_text("import no_such_module_of_anybody\n", "utf-8")
    answer = children.ask({**facts, "question": "check"}, 300)
    assert "ModuleNotFoundError: No module named 'no_such_module_of_anybody'" in answer["error"]
    assert answer["next_step"] == "run the file alone first"
