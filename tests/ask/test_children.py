"""A question whose process dies or takes too long is not answered, and says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metalassay.ask import children


@pytest.fixture
def facts(tmp_path: Path) -> dict[str, Any]:
    return {
        "question": "check",
        "file": str(tmp_path / "mine.py"),
        "device": "cpu",
        "batch_size": 4,
        "folder": str(tmp_path),
        "budget": 1,
    }


def test_a_process_that_dies_is_told(facts: dict[str, Any]) -> None:
    Path(facts["file"]).write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "utf-8"
    )
    answer = children.ask(facts, 300)
    assert "ended with signal 9" in answer["error"]


def test_a_process_that_leaves_without_an_answer_is_told(facts: dict[str, Any]) -> None:
    text = "import os, sys\nprint('no data here', file=sys.stderr, flush=True)\nos._exit(3)\n"
    Path(facts["file"]).write_text(text, "utf-8")
    answer = children.ask(facts, 300)
    assert answer["error"] == "the process ended with code 3: no data here"


def test_a_process_that_takes_too_long_is_ended(facts: dict[str, Any]) -> None:
    Path(facts["file"]).write_text("import time\ntime.sleep(600)\n", "utf-8")
    assert "took longer than 0.2 s" in children.ask(facts, 0.2)["error"]
