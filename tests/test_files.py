"""A file is written completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from metalassay import files


def test_missing_folders_are_created_and_the_text_is_written(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.json"
    files.write_atomically(target, "größer\n")
    assert target.read_text("utf-8") == "größer\n"


def test_a_crash_before_the_rename_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.md"
    target.write_text("old")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]
