"""One try of a batch size: real steps on random numbers, and what they took as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from metalassay.measure import device
from metalassay.training import batch_try

COMMON = {"device": "cpu", "threads": None, "dtype": "float32", "accumulate": 2, "batch_size": 4}
GPT = {**COMMON, "size": None, "ignore_memory": False}
GPT |= dict.fromkeys(("layers", "heads", "width", "context", "vocabulary"))


def tried(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_speed_counts_every_item_of_all_parts(capsys: pytest.CaptureFixture[str]) -> None:
    assert batch_try.gpt_batch(GPT) == 0
    found = tried(capsys)
    assert found["fits"]
    assert found["per_second"] * found["seconds"] == pytest.approx(4 * 64)  # windows of 64 tokens
    assert batch_try.transit_batch({**COMMON, "size": "guide"}) == 0
    found = tried(capsys)
    assert found["per_second"] * found["seconds"] == pytest.approx(4)


def test_what_the_estimate_excludes_is_not_tried(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "capacity", lambda where: 100_000)
    assert batch_try.gpt_batch(GPT) == 0
    found = tried(capsys)
    assert not found["fits"]
    assert "needs at least" in found["why"]
