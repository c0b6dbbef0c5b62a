"""The section of a calibration: points with intervals beside the diagonal, and tables that say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metalassay.cli.main import main
from metalassay.fields import FieldError
from metalassay.report.sections import calibration
from metalassay.results import calibration_file
from metalassay.results.calibration_file import Bin, Calibration

BINS = (Bin(0.0, 0.2, 20, 0, 0.05), Bin(0.4, 0.6, 1, 1, 0.55), Bin(0.8, 1.0, 1000, 950, 0.9))


def written(source: str = "synthetic", **more: Any) -> str:
    text = calibration_file.to_json(Calibration(BINS, 0.0789), source)
    return json.dumps({**json.loads(text), **more})


def section(*sources: str) -> Any:
    read = [calibration.parse(written(source).encode(), f"RUN/{source}") for source in sources]
    return calibration.section(read)


def test_the_points_lie_at_the_mean_probability_and_have_wilson_intervals() -> None:
    (plot,) = section("synthetic").plots
    assert plot.title == "How well do the probabilities fit?"
    diagonal, measured = plot.series
    assert [(point.x, point.y) for point in diagonal.points] == [(0, 0), (1, 1)]
    assert diagonal.line
    assert not measured.line
    assert [(point.x, point.y) for point in measured.points] == [(0.05, 0), (0.55, 1), (0.9, 0.95)]
    # As Newcombe 1998 has it for 0 of 20.
    assert (measured.points[0].low, measured.points[0].high) == pytest.approx((0, 0.1611), abs=5e-5)
    assert measured.points[2].low == pytest.approx(0.9347, abs=5e-5)
    assert measured.points[1].label == (
        "predicted 0.550, observed 1.000 (0.207 to 1.000): 1 planet among 1 light curve"
    )
    assert "independent" in plot.note


def test_the_tables_have_the_counts_and_both_figures() -> None:
    figures, bins = section("synthetic").tables
    error = (20 * 0.05 + 1 * 0.45 + 1000 * 0.05) / 1021
    assert figures.rows == (
        ("RUN/synthetic", "synthetic light curves", "1,021", "951", f"{error:.4f}", "0.0789"),
    )
    assert bins.rows[2] == (
        "0.800 \N{EN DASH} 1.000",
        "1,000",
        "950",
        "0.900",
        "0.950",
        "0.935 \N{EN DASH} 0.962",
    )
    assert len(bins.rows) == 3


def test_two_runs_share_a_plot() -> None:
    both = section("synthetic", "own")
    assert [series.name for series in both.plots[0].series] == [
        "perfectly calibrated",
        "RUN/synthetic",
        "RUN/own",
    ]
    assert [row[1] for row in both.tables[0].rows] == [
        "synthetic light curves",
        "your light curves",
    ]
    assert len(both.tables) == 3


def test_without_a_calibration_there_is_no_section() -> None:
    assert calibration.section([]) is None


def test_another_file_is_refused() -> None:
    with pytest.raises(FieldError, match="schema: expected"):
        calibration.parse(written(schema="metalassay.profile/1").encode(), "x")


def test_a_run_folder_stands_for_its_calibration_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, page = tmp_path / "run", tmp_path / "page"
    run.mkdir()
    (run / "calibration.json").write_text(written(), "utf-8")
    (run / "log.jsonl").write_text('{"step": 1, "loss": 2.5}\n', "utf-8")
    assert main(["report", str(run), "--log", str(run), "-o", str(page)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "1 log of a training run or a monitor; 1 calibration of a classifier." in out
    html = (page / "report.html").read_text("utf-8")
    assert html.count("<svg") == 2
    assert "predicted 0.900, observed 0.950 (0.935 to 0.962): 950 planets among 1,000 light" in html
    text = (page / "report.md").read_text("utf-8")
    assert "## Calibration" in text
    assert "### How well do the probabilities fit?" in text


def test_it_is_read_alone_and_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "calibration.json").write_text(written("own"), "utf-8")
    page = tmp_path / "page"
    assert main(["report", str(tmp_path), "--log", str(tmp_path), "-o", str(page)]) == 0
    assert "your light curves" in (page / "report.md").read_text("utf-8")
    assert capsys.readouterr().err == ""

    with (tmp_path / "calibration.json").open("rb") as stream:
        monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": stream})())
        assert main(["report", str(tmp_path), "--log", "-", "-o", str(page)]) == 0
    assert "1 calibration of a classifier" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (written(error=0.9), "error: expected what the bins give"),
        (written(brier="\x1b[31mred"), "brier: expected a number, found"),
        (written(bins=[[]]), "bins[0]: expected an object, found a list"),
        (written()[:200], "not JSON"),
        (written().replace("20", "1" + "0" * 5000, 1), "JSON that cannot be read"),
    ],
)
def test_a_damaged_file_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, says: str
) -> None:
    file, page = tmp_path / "calibration.json", tmp_path / "page"
    file.write_text(content, "utf-8")
    for named in (file, tmp_path):
        assert main(["report", "--log", str(named), "-o", str(page)]) == 2
        error = capsys.readouterr().err
        assert says in error
        assert f"metalassay: {file}: " in error
        assert len(error.splitlines()) == 2
        assert "\x1b" not in error
    assert not page.exists()
