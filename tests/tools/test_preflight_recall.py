"""The figures of preflight's predictions, on results that were made up."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("expecttest")
import preflight_recall
from wheel_reader.expectations import Lists

LISTS = Lists(fails={"mode": ("*",), "linear": ("int64",)}, numbers={"addr": ("int64",)})


def test_what_cannot_be_told_is_neither_right_nor_wrong() -> None:
    results = {
        "mode": {"int64": "mode has no kernel", "bool": preflight_recall.CANNOT_TELL},
        "linear": {"int64": ""},
        "addr": {"int64": "anything"},
        "add": {"int64": "", "bool": "boom"},
    }
    table = preflight_recall.figures(results, LISTS, ["int64", "bool"], ["linear"])
    assert table[2:] == [
        "| int64 | 3 | 2 | 1 | 1 | 1.000 | 0.500 | 0 |",
        "| bool | 1 | 0 | 1 | 0 | 0.000 | none | 1 |",
        "| all | 4 | 2 | 2 | 1 | 0.500 | 0.500 | 1 |",
        "of the 1 listed that are errors: recall 1.000; 1 more are none",
        "listed, not predicted: linear in int64",
        "predicted, not listed: add in bool: boom",
    ]
