"""Errors that have nothing to do with what metalassay knows are not explained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metalassay.diagnosis import explain

FILE = Path(__file__).parents[1] / "data" / "explain" / "unrelated.jsonl"
ERRORS = [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]
# What a Mac that trains has installed: each release is affected by known bugs.
INSTALLED = {
    "python": "3.11.9",
    "macos": "14.5",
    "torch": "2.5.1",
    "numpy": "2.0.0",
    "accelerate": "1.8.0",
    "transformers": "4.52.4",
    "trl": "0.16.1",
    "peft": "0.17.1",
    "datasets": "4.0.0",
}


def test_there_are_two_hundred_different_errors() -> None:
    assert len({error["text"] for error in ERRORS}) == len(ERRORS) == 200


@pytest.mark.parametrize("installed", [INSTALLED, {}], ids=["a-mac", "nothing-known"])
def test_none_of_them_is_explained(installed: dict[str, str]) -> None:
    explained = {
        error["id"]: [each.found.id for each in answer.explanations]
        for error in ERRORS
        if (answer := explain.explain(error["text"], installed)).explanations
    }
    assert explained == {}
