"""The ledger in the report: every claim once, with a command or the reason why it has none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from experiment_files import MAC, SERVER, figures, pretend, ran

from metalassay.claims import catalogue as claims
from metalassay.claims import measured
from metalassay.claims.catalogue import NEEDS_A_MAC, NOT_TESTABLE, VERDICTS, Claim, place
from metalassay.report.model import NO_VALUE
from metalassay.report.sections import ledger

BUDGET = 100_000
"""Characters; a page doubles them with its markup, and may have 2 MB."""


def claim(id_: str, verdict: str, *guides: str, **more: str) -> Claim:
    return Claim(id_, "it is so", tuple(map(place, guides)), verdict, "it is not", **more)


MADE = (
    claim("tested", "refuted", "002:4", "000:9", test="tests/test_x.py::test_y"),
    claim("computed", "misleading", "000:1", arithmetic="third_word"),
    claim("read", "confirmed", "000:2", source="https://example.org"),
    claim("waiting", NEEDS_A_MAC, "002:5", mac_test="compat/test_x.py::test_z", source="a wheel"),
    claim("timed", NEEDS_A_MAC, "002:6", command="python tools/x.py"),
    claim("empty", NOT_TESTABLE, "004:1"),
)


def test_claims_are_counted_by_verdict_and_once_for_each_of_their_guides() -> None:
    section = ledger.section(MADE)
    assert section.sentences[0] == "6 claims: 3 decided, 2 waiting for a Mac, 1 not testable."
    counts = section.tables[0]
    assert counts.head == ("verdict", "guide 000", "guide 002", "guide 004", "all")
    assert {row[0]: row[1:] for row in counts.rows} == {
        "confirmed": ("1", "0", "0", "1"),
        "refuted": ("1", "1", "0", "1"),
        "misleading": ("1", "0", "0", "1"),
        "depends on version": ("0", "0", "0", "0"),
        "needs a Mac": ("0", "2", "0", "2"),
        "not testable": ("0", "0", "1", "1"),
        "all": ("3", "3", "1", "6"),
    }


def test_a_claim_is_listed_once_in_the_table_of_its_first_guide_with_its_command() -> None:
    tables = {each.caption[:9]: each.rows for each in ledger.section(MADE).tables[1:]}
    cells = ("002:4, 000:9", "it is so", "refuted", "it is not")
    assert tables["Guide 002"][0][:5] == ("tested", *cells)
    assert [row[0] for row in tables["Guide 000"]] == ["computed", "read"]
    evidence = {row[0]: row[-1] for rows in tables.values() for row in rows}
    assert evidence == {
        "tested": "python -m pytest tests/test_x.py::test_y",
        "computed": "python -m pytest tests/claims/test_arithmetic.py -k third_word",
        "read": "documents and earlier runs: metalassay claims read",
        "waiting": "on a Mac: python -m pytest compat/test_x.py::test_z",
        "timed": "on a Mac: python tools/x.py",
        "empty": NO_VALUE,
    }


def test_all_claims_are_listed_within_the_size_limit() -> None:
    section = ledger.section(claims.load())
    rows = [row for table in section.tables[1:] for row in table.rows]
    assert sorted(row[0] for row in rows) == sorted(each.id for each in claims.load())
    assert {row[3] for row in rows} <= set(VERDICTS)
    assert section.tables[0].rows[-1][-1] == str(len(claims.load()))
    assert sum(len(cell) for row in rows for cell in row) < BUDGET
    undecided = {row[0] for row in rows if row[-1] == NO_VALUE}
    assert undecided == {each.id for each in claims.load() if each.verdict == NOT_TESTABLE}


def test_what_was_measured_on_a_mac_has_a_table_apart_from_the_verdicts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, MAC)
    arms = figures("num_workers=0", "num_workers=4", "milliseconds a pass", 2.0)
    runs = [
        ran("workers", arms, device="cpu"),
        ran("workers", arms, device="cpu", machine=replace(MAC, chip="Apple M2")),
    ]
    section = ledger.section(claims.load(), measured.sort(runs))
    table = section.tables[1]
    assert table.caption == "Claims that were measured"
    assert [row[:4][0::3] for row in table.rows] == [
        ("four-workers-faster", "refuted on this Mac"),
        ("four-workers-faster", "refuted on another Mac"),
        ("zero-workers", "confirmed on this Mac"),
        ("zero-workers", "confirmed on another Mac"),
    ]
    assert {row[2] for row in table.rows} == {claims.get("zero-workers").verdict}
    assert table.rows[0][5] == runs[0].conditions()
    assert section.sentences[0] == ledger.section(claims.load()).sentences[0]


def test_a_machine_that_is_no_mac_leaves_its_claims_open(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, SERVER)
    arms = figures("num_workers=0", "num_workers=4", "milliseconds a pass", 2.0)
    found = measured.sort([ran("workers", arms, device="cpu", machine=SERVER)])
    rows = ledger.section(claims.load(), found).tables[1].rows
    assert {row[3] for row in rows} == {"open"}
    assert {row[4] for row in rows} == {"this is not a Mac, so the claim stays open"}


def test_rows_are_chosen_by_guide_verdict_and_what_would_decide_them() -> None:
    section = ledger.section(MADE)
    tags = {
        row[0]: set(of_row)
        for table in section.tables[1:]
        for row, of_row in zip(table.rows, table.tags, strict=True)
    }
    assert tags["tested"] == {"guide-002", "guide-000", "refuted"}
    assert tags["waiting"] == {"guide-002", "needs-a-mac", "open-on-a-mac"}
    assert tags["empty"] == {"guide-004", "not-testable"}
    choices = {tag for each in section.filters for tag, _ in each.choices}
    assert set().union(*tags.values()) <= choices
    assert all(tag.replace("-", "").isalnum() for tag in choices)


def test_a_claim_has_its_lines_and_the_address_of_its_source() -> None:
    (table,) = (each for each in ledger.section(MADE).tables if "000" in each.caption)
    assert [row[1] for row in table.rows] == ["000:1", "000:2"]
    assert table.links == {(1, 5): "https://example.org"}
