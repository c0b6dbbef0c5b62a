"""The calls of CUDA programs that do nothing on a Mac: their data and their text."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay.fields import Field, FieldError
from metalassay.mps import ported


def test_every_row_has_an_id_of_its_own_and_says_what_to_write() -> None:
    rows = ported.rows()
    assert len({row["id"] for row in rows}) == len(rows) > 15
    for row in rows:
        assert all(
            row[name] for name in ("watch", "call", "happens", "instead", "example", "source")
        )


def test_the_report_names_line_effect_and_remedy() -> None:
    file = str(Path.cwd() / "train.py")
    noted = [ported.Noted("autocast", file, line, "main", 1) for line in (7, 12)]
    lines = ported.as_text(noted, lambda name, line: f"{ported.shortened(name)}:{line}")
    assert lines[1] == '  autocast("cuda")'
    assert lines[2].split() == ["at:", "train.py:7,", "train.py:12"]
    assert "float32" in lines[3]
    assert "device_type=device.type" in lines[4]
    assert max(map(len, lines)) <= 80


def test_nothing_noted_is_nothing_said() -> None:
    assert ported.summary([]) == []


def test_an_unknown_id_is_refused() -> None:
    entry = {"id": "other", "file": "f", "line": 1, "function": "g", "count": 1}
    with pytest.raises(FieldError, match="id"):
        ported.parse(Field(entry))
    assert ported.parse(Field({**entry, "id": "autocast"})).line == 1


def test_the_page_has_the_rows() -> None:
    page = Path(__file__).parents[2].joinpath("docs/preflight.md").read_text()
    for row in ported.rows():
        assert f"| `{row['call']}` | {row['happens']} | {row['instead']} |\n" in page
