"""`metalassay report`: what it prints, and what it refuses before it reads anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay.cli.main import main

RUNS = str(Path(__file__).parents[1] / "data" / "runs")


def test_quiet_prints_the_names_of_the_files_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    main(["report", RUNS, "-o", str(target), "--quiet"])
    assert capsys.readouterr().out.splitlines() == [
        str(target / "report.md"),
        str(target / "report.html"),
    ]


def test_the_tables_are_printed_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["report", RUNS, "-o", str(tmp_path)])
    assert "| workload " in capsys.readouterr().out


def test_a_card_that_is_not_an_svg_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    assert main(["report", RUNS, "-o", str(target), "--card", "card.png"]) == 2
    assert "rsvg-convert" in capsys.readouterr().err
    assert not target.exists()


def test_no_line_is_wider_than_the_terminal_but_for_the_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["report", RUNS, "--output", str(tmp_path)]) == 0
    printed, paths = capsys.readouterr().out.split(str(tmp_path), 1)
    assert paths.count(str(tmp_path)) == 1  # of the second page
    assert "in six figures: transit-cnn" in printed
    assert [line for line in printed.splitlines() if len(line) > 80] == []
