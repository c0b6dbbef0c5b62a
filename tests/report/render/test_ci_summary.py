"""The summary on the page of a CI job: red cells first, and what is missing is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import constructed_origin
import pytest
from constructed_runs import DATA

from metalassay import report
from metalassay.bugs import verdict
from metalassay.cli.main import main
from metalassay.report.model import Report
from metalassay.report.render import ci_summary, markdown
from metalassay.results import load


def everything() -> Report:
    return report.build(load.load([DATA]))


def test_red_cells_come_first_with_their_reasons() -> None:
    text = ci_summary.render(everything())
    red, counts = text.index("**RED: unexplained**"), text.index("| verdict | cells |")
    assert red < counts < text.index("### Benchmarks")
    assert markdown.escape(verdict.MEANING[verdict.UNEXPLAINED]).lower() in text.lower()
    assert "Error: E" in text
    assert "accelerate-empty-shard" in text[red:counts]
    assert "| RED: unexplained | 1 |" in text
    assert "| fine | 1 |" in text
    assert "| not tested | 2 |" in text
    assert "2,000 samples/s" in text


def test_every_set_has_a_row_with_its_origin_and_its_red_cells(tmp_path: Path) -> None:
    built, _ = constructed_origin.written(tmp_path, constructed_origin.documents())
    text = ci_summary.render(built)
    head, _, *rows = text.partition("| version set |")[2].partition("\n\n")[0].splitlines()
    assert head.endswith("| recorded (UTC) | metalassay | bug data | run | RED |")
    cells = {row.split(" | ")[0].strip("| "): row.strip("| ").split(" | ")[-5:] for row in rows}
    new = constructed_origin.DATA_NEW
    assert cells["a-whole"] == ["2026-11-28", "5b1ce00fedcb", new, "–", "0"]  # noqa: RUF001
    assert cells["h-newest"] == ["2026-11-28", "5b1ce00fedcb", new, "–", "1"]  # noqa: RUF001
    assert cells["b-last-failed"][3] == "last run did not finish"
    assert cells["c-never-finished"][3:] == ["not finished", "–"]  # noqa: RUF001
    assert "Error: signal 6 (SIGABRT)" in text
    assert "| not tested (slow) | 1 |" in text


def test_a_summary_of_nothing_says_so() -> None:
    text = ci_summary.render(report.build(load.Loaded()))
    assert "No verdict file was read." in text
    assert "No benchmark run was read." in text
    assert "RED" not in text


def test_a_summary_that_is_too_long_is_cut_at_a_line_and_says_so() -> None:
    long = replace(everything(), headline=tuple(f"line {n} " + "ö" * 60 for n in range(500)))
    whole = ci_summary.render(long)
    for room in (400, 10_000, len(whole.encode()) - 1):
        text = ci_summary.render(long, room)
        assert len(text.encode()) <= room
        assert text.endswith("report.html.\n")
        shown = text[: text.index("\n\n**Cut here:**")]
        assert whole.startswith(f"{shown}\n")
    assert ci_summary.render(long, len(whole.encode())) == whole
    assert ci_summary.render(long, 10) == ""


def test_the_summary_is_appended_to_the_page_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "summary.md"
    page.write_text("before\n" * 80, "utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    monkeypatch.setattr(ci_summary, "LIMIT", 1000)
    assert main(["report", str(DATA), "-o", str(tmp_path / "out"), "--summary"]) == 0
    text = page.read_text("utf-8")
    assert text.startswith("before\n" * 80 + "## What works here")
    assert len(text.encode()) <= 1000
    assert "Cut here" in text
    assert "## What works here" not in capsys.readouterr().out
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    main(["report", str(DATA), "-o", str(tmp_path / "out"), "--summary"])
    assert "## What works here" in capsys.readouterr().out


def test_a_rehearsal_is_announced_first() -> None:
    text = ci_summary.render(replace(everything(), rehearsal="REHEARSAL: invented."))
    assert text.splitlines()[2] == "> **REHEARSAL: invented.**"
