"""The judgement of the emulated dtypes, on results that were made up."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("expecttest")
import emulator_dtypes

TABLE: dict[str, Any] = {"failing": 1, "explained": {"to_sparse": "no sparse tensors"}}
FINE = {
    "nn.functional.linear": {"int64": "refused", "float32": ""},
    "to_sparse": {"float32": "no sparse tensors"},
}


def judged(**more: dict[str, str]) -> list[str]:
    return emulator_dtypes.judge({**FINE, **more}, "2.13.0", TABLE)


def test_what_is_listed_or_explained_may_fail(capsys: pytest.CaptureFixture[str]) -> None:
    assert judged() == []
    assert "1 are expected to fail and 1 do" in capsys.readouterr().out


def test_a_failure_that_is_not_listed_is_reported() -> None:
    assert judged(add={"int64": "boom"}) == ["add in int64 fails and is not listed: boom"]


def test_a_listed_failure_that_is_gone_is_reported() -> None:
    fewer = {"nn.functional.linear": {"int64": ""}}
    assert judged(**fewer) == ["0 listed pairs fail, and 1 did"]


def test_an_explanation_that_is_no_longer_needed_is_reported() -> None:
    assert judged(to_sparse={"float32": ""}) == ["explained, but it passes: to_sparse"]


def test_the_table_is_about_the_emulated_session() -> None:
    table = tomllib.loads(emulator_dtypes.TABLE.read_text("utf-8"))
    assert {"torch", "dtypes", "failing", "explained"} == set(table)
    assert len(table["dtypes"]) == 7
