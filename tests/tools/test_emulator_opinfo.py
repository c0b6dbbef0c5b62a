"""The explanations of differences between the emulated mps and PyTorch's own list of failures."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parents[2] / "tools" / "emulator_opinfo.toml"


def table() -> dict[str, Any]:
    """Return the content of emulator_opinfo.toml."""
    return tomllib.loads(TABLE.read_text("utf-8"))


def test_the_rows_are_unique_and_in_order() -> None:
    keys = [(row["op"], row["what"]) for row in table()["row"]]
    assert keys == sorted(set(keys))


def test_each_row_has_a_known_class_and_a_reason() -> None:
    classes, rows = table()["classes"], table()["row"]
    assert {row["class"] for row in rows} == set(classes)
    assert all(len(row["why"]) > 20 for row in rows)
