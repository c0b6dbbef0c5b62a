"""The marker of a run that did not finish: what is written is read back, and what the reader refuses."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from metalassay.fields import Field, FieldError
from metalassay.results import unfinished

SET = {"id": "x-1.2", "python": None, "requires": ["lib==1"], "reason": "here", "tags": ["full"]}
STARTED = datetime(2026, 11, 28, 11, 3, 7, tzinfo=timezone(timedelta(hours=1)))


def read(path: Path) -> unfinished.Unfinished:
    return unfinished.read(Field(json.loads(path.read_text("utf-8"))), path.name)


def test_a_written_marker_is_read_back(tmp_path: Path) -> None:
    verdicts = tmp_path / "compat" / "x-1.2.json"
    unfinished.write(verdicts, SET, STARTED, "could not install:\nno route to host")
    (path,) = verdicts.parent.iterdir()
    assert path == unfinished.path_of(verdicts) == verdicts.parent / "x-1.2.unfinished"
    one = read(path)
    assert (one.id, one.requires, one.reason) == ("x-1.2", ("lib==1",), "here")
    assert one.started == datetime(2026, 11, 28, 10, 3, 7, tzinfo=UTC)
    assert one.why == "could not install: no route to host"
    assert one.file == "x-1.2.unfinished"
    assert one.hardware is not None
    assert one.hardware.system == platform.system()


def test_a_marker_leaves_the_verdicts_alone_and_is_removed(tmp_path: Path) -> None:
    verdicts = tmp_path / "x-1.2.json"
    verdicts.write_text("kept")
    unfinished.clear(verdicts)  # there is none yet
    unfinished.write(verdicts, SET, STARTED, "interrupted")
    unfinished.write(verdicts, SET, STARTED, "interrupted again")
    assert read(unfinished.path_of(verdicts)).why == "interrupted again"
    unfinished.clear(verdicts)
    assert [path.name for path in tmp_path.iterdir()] == ["x-1.2.json"]
    assert verdicts.read_text() == "kept"


def test_a_password_in_an_address_is_not_written(tmp_path: Path) -> None:
    why = (
        "could not install: https://me:s3cret@example.org/simple/a@1/ (401), https://example.org/@x"
    )
    unfinished.write(tmp_path / "x.json", SET, STARTED, why)
    plain = "could not install: https://example.org/simple/a@1/ (401), https://example.org/@x"
    assert read(tmp_path / "x.unfinished").why == plain


RECORD: dict[str, Any] = {
    "schema": unfinished.SCHEMA,
    "set": SET,
    "started": "2026-11-28T10:03:07+00:00",
    "why": "interrupted",
}


def test_a_marker_without_a_machine_is_read() -> None:
    assert unfinished.read(Field(RECORD), "x").hardware is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"why": " "}, "why: expected text that is not empty"),
        ({"why": None}, "why: expected text"),
        ({"started": "yesterday"}, "started: expected a time"),
        ({"set": {**SET, "requires": "lib"}}, "set.requires: expected a list"),
        ({"set": {}}, "set.id is missing"),
    ],
)
def test_a_wrong_marker_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError, match=message):
        unfinished.read(Field(RECORD | change), "x")


def test_the_marker_of_a_row_on_another_machine_names_that_machine(tmp_path: Path) -> None:
    there = {"system": "Darwin", "release": "25.1.0", "machine": "arm64"}
    unfinished.write(tmp_path / "x.json", SET, STARTED, "interrupted", there)
    marker = json.loads((tmp_path / "x.unfinished").read_text("utf-8"))
    assert marker["hardware"] == there
