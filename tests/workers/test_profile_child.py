"""The process that profiles a workload: it writes what it was asked for, or says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metalassay.workers import profile_child

FACTS: dict[str, Any] = {
    "device": "cpu",
    "workload": "gpt-tiny",
    "batch": 2,
    "mode": "infer",
    "steps": 1,
    "suffix": "-x",
}


def test_it_writes_a_profile_and_says_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert profile_child.main(json.dumps(FACTS | {"folder": str(tmp_path)})) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"profile-x.json", "trace-x.json.gz"}
    assert "where a step goes: 1 profiled step of" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [{"workload": "none"}, {"mode": "sleep"}, {"batch": 0}])
def test_what_cannot_be_built_is_one_line(
    wrong: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert profile_child.main(json.dumps(FACTS | {"folder": str(tmp_path)} | wrong)) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
