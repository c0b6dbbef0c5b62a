"""Rows for other programs: every measurement and verdict, numbers as numbers, no refused figure."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import constructed_origin
import pytest
from hand_made import find_chip, measurement

from metalassay.cli.main import main
from metalassay.machine import hardware
from metalassay.report import export
from metalassay.report.export import BATCH_COLUMNS, MEASUREMENT_COLUMNS, VERDICT_COLUMNS, harmless
from metalassay.report.sections.benchmarks import figures
from metalassay.results import max_batch_file
from metalassay.results.measurement import Measurement

DATA = Path(__file__).parents[1] / "data" / "runs"
M4 = json.loads((DATA / "constructed_benchmarks_m4.json").read_text("utf-8"))
RED = json.loads((DATA / "constructed_compat_red.json").read_text("utf-8"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the constructed runs as reports/, and nothing of a CI job around it."""
    shutil.copytree(DATA, tmp_path / "reports")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return tmp_path


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_measurement_is_a_row_and_so_is_every_verdict(here: Path) -> None:
    assert main(["report", "--csv", "m.csv", "--csv-compat", "v.csv", "--json", "r.json"]) == 0
    measured, verdicts = table(here / "m.csv"), table(here / "v.csv")
    document = json.loads((here / "r.json").read_text("utf-8"))
    assert (len(measured), len(verdicts)) == (7, 6)
    assert len(document["measurements"]) == 7
    assert document["warnings"] == []
    # CSV and JSON say the same
    for row, same in zip(
        (*measured, *verdicts), (*document["measurements"], *document["compat"]), strict=True
    ):
        for name, value in same.items():
            expected = "" if value is None else str(value)
            assert row[name] == (expected.lower() if isinstance(value, bool) else expected)
    first = next(row for row in document["measurements"] if row["chip"] == "Apple M4")
    assert first["seconds_median"] == 0.064
    assert (first["seconds_q1"], first["seconds_q3"]) == (0.0608, 0.0672)
    assert (first["items_per_second"], first["rounds"], first["threads"]) == (1000, 5, 4)
    assert first["items_per_second_slow"] == pytest.approx(64 / 0.0672, rel=1e-5)
    assert [(row["set"], row["bug"], row["verdict"]) for row in verdicts] == [
        ("accelerate-1.10.0", "accelerate-empty-shard", "fine"),
        ("accelerate-1.10.0", "accelerate-mps-oom", "broken as known"),
        ("guide", "", "not installable"),
        ("accelerate-1.8.0", "accelerate-empty-shard", "patched"),
        ("accelerate-1.8.0", "accelerate-mps-oom", "not tested"),
        ("accelerate-1.9.0", "accelerate-empty-shard", "unexplained"),
    ]


def searched(folder: Path, name: str, tries: list[tuple[int, str]], emulated: bool = False) -> None:
    """Put a search for the largest batch into ``folder``; an empty reason says that it fitted."""
    result = max_batch_file.document(
        workload="transit-cnn",
        mode="train",
        device="cpu",
        dtype="float32",
        threads=2,
        malloc="tuned",
        emulated=emulated,
        tries=[
            {"batch": batch, "fits": not why, "peak_rss": 1000 * batch, "why": why}
            for batch, why in tries
        ],
        started="2026-11-21T10:00:00+00:00",
        seconds=12.5,
        versions={"torch": "2.13.0"},
        machine=hardware.from_dict(M4["machine_info"]["hardware"]),
    )
    (folder / name).write_text(json.dumps(result), "utf-8")


def test_a_search_for_the_largest_batch_is_a_row_in_both(here: Path) -> None:
    searched(here / "reports", "b1.json", [(64, ""), (128, "=out of memory"), (96, "")])
    searched(here / "reports", "b2.json", [(256, "")])
    searched(here / "reports", "b3.json", [(8, "")], emulated=True)
    assert main(["report", "--csv-max-batch", "b.csv", "--json", "r.json"]) == 0
    rows = table(here / "b.csv")
    columns = ("largest", "limit", "why", "peak_bytes", "refused")
    emulated = "the device was emulated, so its memory is that of another device"
    assert [tuple(row[name] for name in columns) for row in rows] == [
        ("96", "128", "'=out of memory", "96000", ""),
        ("256", "", "", "256000", ""),
        ("", "", "", "", emulated),
    ]
    assert {(row["chip"], row["workload"], row["threads"], row["torch"]) for row in rows} == {
        ("Apple M4", "transit-cnn", "2", "2.13.0")
    }
    document = json.loads((here / "r.json").read_text("utf-8"))
    assert [tuple(row[name] for name in columns) for row in document["largest_batches"]] == [
        (96, 128, "=out of memory", 96000, None),
        (256, None, None, 256000, None),
        (None, None, None, None, emulated),
    ]
    assert (len(document["measurements"]), len(document["compat"])) == (7, 6)


def changed(edit: Callable[[Any], None], document: Any = M4) -> str:
    copy = json.loads(json.dumps(document))
    edit(copy)
    return json.dumps(copy)


def test_a_refused_time_has_its_reason_and_no_throughput(here: Path) -> None:
    def emulated(document: Any) -> None:
        for each in document["benchmarks"]:
            each["extra_info"]["emulated"] = True

    (here / "x.json").write_text(changed(emulated), "utf-8")
    assert main(["report", "x.json", "--csv", "m.csv"]) == 0
    for row in table(here / "m.csv"):
        assert row["refused"].startswith("the device was emulated")
        assert row["seconds_median"]
        assert {row[name] for name in MEASUREMENT_COLUMNS if "per_second" in name} == {""}


def test_a_file_that_contradicts_itself_has_no_verdict_in_the_rows(here: Path) -> None:
    text = changed(lambda document: document["bugs"][0].update(verdict="fine"), RED)
    (here / "x.json").write_text(text, "utf-8")
    assert main(["report", "x.json", "--csv-compat", "v.csv"]) == 1
    (row,) = table(here / "v.csv")
    assert row["verdict"] == "unreadable"
    assert 'is "fine", but its tests lead to' in row["why"]


def test_a_verdict_has_its_origin_and_every_state_has_a_row(here: Path) -> None:
    files = constructed_origin.documents()
    constructed_origin.write(here / "states", files)
    assert main(["report", "states", "--csv-compat", "v.csv", "--json", "r.json"]) == 0
    rows = table(here / "v.csv")
    assert len(rows) == len(json.loads((here / "r.json").read_text("utf-8"))["compat"])
    whole = next(row for row in rows if row["set"] == "a-whole")
    assert (whole["when"], whole["commit"]) == ("2026-11-28T09:12:00+00:00", constructed_origin.NEW)
    assert (whole["data"], whole["interpreter"], whole["key"]) == (
        constructed_origin.DATA_NEW,
        "CPython 3.11.7",
        "c0ffee",
    )
    assert whole["lock"].startswith("accelerate==1.8.0 numpy==2.4.6 ")
    old = next(row for row in rows if row["set"] == "k-old-format")
    assert {old[name] for name in ("commit", "data", "lock", "partial", "deselected")} == {""}
    partial = [row for row in rows if row["partial"]]
    assert {(row["set"], row["partial"], row["deselected"]) for row in partial} == {
        ("d-partial-beside", "'-k", "41"),
        ("e-only-partial", "'-k", "41"),
    }
    marks = [row for row in rows if row["verdict"] == "not finished"]
    assert next((row["set"], row["when"], row["why"]) for row in marks) == (
        "b-last-failed",
        "2026-11-28T10:03:07+00:00",
        "could not install: no route to host",
    )
    assert len(marks) == sum(name.endswith(".unfinished") for name in files)
    failed = [row for row in rows if row["set"] == "h-newest" and not row["bug"]]
    assert [(row["title"].partition("::")[2], row["verdict"]) for row in failed] == [
        ("test_tokenizers_read_whether_to", "failed"),
        ("test_another", "crashed"),
    ]
    assert failed[0]["why"] == "E AssertionError: the sentence is gone"


def test_an_older_run_has_a_row_too(here: Path) -> None:
    older = changed(lambda document: document.update(datetime="2026-11-20T00:00:00+00:00"))
    (here / "reports" / "older.json").write_text(older, "utf-8")
    assert main(["report", "--json", "r.json"]) == 0
    assert len(json.loads((here / "r.json").read_text("utf-8"))["measurements"]) == 10


def test_standard_output_has_the_table_only(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--csv", "-", "--summary"]) == 0
    printed = capsys.readouterr()
    rows = list(csv.reader(io.StringIO(printed.out)))
    assert rows[0] == list(MEASUREMENT_COLUMNS)
    assert {len(row) for row in rows} == {len(MEASUREMENT_COLUMNS)}
    assert "What works here" in printed.err
    assert main(["report", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "metalassay.rows/1"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--csv", "-", "--json", "-"],
        ["--csv", "x", "--json", "./x"],
        ["--card", "card.png"],
        ["--csv", "reports"],
        ["nowhere", "--csv", "m.csv"],
    ],
)
def test_a_failed_write_is_one_line_and_leaves_nothing_behind(
    here: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(here.iterdir())
    assert main(["report", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("metalassay: ")
    assert "\n  next: " in error
    assert sorted(here.iterdir()) == before


def test_exported_rows_in_the_results_folder_are_not_read_as_results(here: Path) -> None:
    assert main(["report", "--json", "reports/rows.json"]) == 0
    assert main(["report", "--json", "reports/rows.json"]) == 0


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\uff1d1"])
def test_no_text_becomes_a_formula_in_a_spreadsheet(text: str, here: Path) -> None:
    assert harmless(text) == f"'{text}"

    def named(document: Any) -> None:
        document["benchmarks"][0]["extra_info"]["identity"] = text
        document["machine_info"]["hardware"]["model"] = text

    (here / "x.json").write_text(changed(named), "utf-8")
    main(["report", "x.json", "--csv", "m.csv"])
    row = table(here / "m.csv")[0]
    assert row["model"] == row["identity"] == f"'{text.strip()}"


def test_numbers_stay_numbers_and_columns_are_named_once() -> None:
    assert (harmless(-1.5), harmless(None), harmless("a=b")) == (-1.5, None, "a=b")
    for columns in (MEASUREMENT_COLUMNS, VERDICT_COLUMNS, BATCH_COLUMNS):
        assert len(set(columns)) == len(columns)


def test_the_power_of_a_rehearsal_or_of_an_impossible_time_is_not_exported() -> None:
    rail = {"watts": 10.0, "watts_from": "GPU", "per_watt": 100.0}
    columns = ("watts", "watts_from", "items_per_joule")

    def exported(one: Measurement) -> tuple[object, ...]:
        row = export.measurement_row(one, figures(one, find_chip(one.machine)))
        return tuple(row[column] for column in columns)

    assert exported(measurement(**rail)) == (10.0, "GPU", 100.0)
    assert exported(measurement(**rail, emulated=True)) == (None, None, None)
    assert exported(measurement(**rail, seconds=(1e-5,))) == (None, None, None)
