"""The picture of the report for the README: made from the recorded evidence, small, and of a real page."""

from __future__ import annotations

from pathlib import Path

import pytest
import report_picture


def test_the_page_in_the_picture_is_that_of_the_recorded_evidence() -> None:
    page = report_picture.page()
    assert "Linux x86_64" in page
    assert "How close does" in page
    assert "invented" not in page
    assert page.count(report_picture.STYLE) == 1


def test_without_a_browser_it_ends_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BROWSER_BINARY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"no browser on PATH.*\n  next: apt-get install chromium"):
        report_picture.browser()


def test_the_picture_that_is_checked_in_is_small_and_has_the_size_that_the_tool_takes() -> None:
    content = report_picture.PICTURE.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    size = tuple(int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    assert size == (report_picture.WIDTH, report_picture.HEIGHT)
    assert len(content) <= report_picture.LARGEST
