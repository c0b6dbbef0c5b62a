"""Claims as text for a terminal."""

from __future__ import annotations

import dataclasses

import pytest
from experiment_files import MAC, figures, pretend, ran

from metalassay.claims import catalogue as claims
from metalassay.claims import measured, text
from metalassay.claims.measured import Measured

CLAIM = claims.get("zero-workers")


def test_on_a_narrow_terminal_the_truth_is_printed_below() -> None:
    lines = text.table(claims.load(), 60).splitlines()
    assert all(len(line) <= 60 or not line.startswith(" ") for line in lines)
    assert lines[1] == "    truth"


def test_on_a_wide_terminal_every_truth_is_in_the_last_column() -> None:
    head, *rows = text.table(claims.load(), 120).splitlines()
    column = head.index("truth")
    assert all(len(row) <= 120 for row in rows)
    assert all(row[:column].strip() == "" or row[column - 2 : column] == "  " for row in rows)


def test_further_places_are_counted() -> None:
    claim = dataclasses.replace(
        CLAIM, guides=tuple(map(claims.place, ("002:1", "003:4-5", "003:9")))
    )
    assert " 002:1 +2 " in text.table([claim], 200)
    assert " 003:4-5 +2 " in text.table([claim], 200, guide="003")


def test_no_claims_make_no_table() -> None:
    assert text.table([], 80) == ""


@pytest.mark.parametrize(
    ("verdicts", "line"),
    [
        ([], "0 claims"),
        (["refuted"], "1 claim: 1 refuted"),
        (["misleading", "confirmed", "misleading"], "3 claims: 1 confirmed, 2 misleading"),
    ],
)
def test_the_counts_are_by_verdict_in_the_order_of_tables(verdicts: list[str], line: str) -> None:
    assert text.counts([dataclasses.replace(CLAIM, verdict=word) for word in verdicts]) == line


SLOWER = figures("num_workers=0", "num_workers=4", "milliseconds a pass", 2.0)


def test_the_details_have_the_measurements_with_their_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, MAC)
    run = ran("workers", SLOWER, device="cpu")
    lines = text.details(CLAIM, measured.sort([run]), 200).splitlines()
    assert f"  decided on this Mac: confirmed ({run.conditions()})" in lines
    assert f"    {run.comparisons[0].sentence()}" in lines
    assert "    run.json" in lines


def test_the_table_has_the_verdict_of_this_mac_below_the_truth_and_not_as_the_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, MAC)
    found = measured.sort([ran("workers", SLOWER, device="cpu")])
    table = text.table([CLAIM], 200, measured=found)
    assert "decided on this Mac: confirmed (Apple M4" in table
    assert "  needs a Mac  " in table.splitlines()[1]
    assert text.counts([CLAIM], found) == "1 claim: 1 needs a Mac; 1 decided on this Mac"


def test_commands_are_not_wrapped() -> None:
    details = text.details(CLAIM, Measured(), 30).splitlines()
    assert f"    {CLAIM.command}" in details
