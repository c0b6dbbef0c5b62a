"""`metalassay claims`: which claims it lists, what it says of one, and how it refuses."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from metalassay.claims import catalogue as claims
from metalassay.claims import evidence
from metalassay.cli.main import main


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give the table room, and a folder without evidence."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> set[str]:
    """Return the ids that the command lists as JSON."""
    assert main(["claims", "--json", *arguments]) == 0
    return {row["id"] for row in json.loads(capsys.readouterr().out)["claims"]}


def test_all_claims_are_listed_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims"]) == 0
    printed = capsys.readouterr()
    head = printed.out.splitlines()[0].split()
    assert head == ["id", "guide:line", "verdict", "truth"]
    assert all(claim.id in printed.out for claim in claims.load())
    assert printed.err.startswith(f"{len(claims.load())} claims: ")


def test_guide_and_verdict_choose(capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys, "--guide", "002", "--verdict", "refuted")
    assert "bandwidth-utilisation" in found
    assert found == {
        claim.id
        for claim in claims.load()
        if claim.verdict == "refuted" and any(place.guide == "002" for place in claim.guides)
    }


@pytest.mark.parametrize("word", ["needs a Mac", "needs-a-mac", "NEEDS A MAC"])
def test_a_verdict_may_be_written_without_quotes(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "layer-norm-faster" in listed(capsys, "--verdict", word)


def test_the_place_shown_is_in_the_guide_that_was_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["claims", "--guide", "3"]) == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "memory-by-psutil" in line)
    assert "003:97-100 +1" in row


def test_one_claim_shows_what_decides_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "bandwidth-utilisation"]) == 0
    printed = capsys.readouterr().out
    assert "guide 002:293" in printed
    assert "python -m pytest tests/claims/test_arithmetic.py -k share_of_bandwidth" in printed


def test_one_claim_as_json_has_its_places_and_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "neural-engine", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["guides"][0] == "003:10"
    assert printed["decided"] == "documents"
    assert printed["commands"]["here"] == []
    assert "test_mps_is_the_gpu" in printed["commands"]["on a Mac"][0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["watermak-zero-disables-mps"], "metalassay claims watermark-zero-disables-mps"),
        (["zzzz"], "no claim 'zzzz'"),
        (["--guide", "007"], "000, 001, 002, 003, 004"),
        (["--verdict", "true"], "choose one of: confirmed, refuted"),
        (["neural-engine", "--guide", "003"], "metalassay claims neural-engine"),
        ([""], "no claim ''"),
    ],
)
def test_bad_input_is_refused_with_what_to_do(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["claims", *arguments]) == 2
    assert words in capsys.readouterr().err


def saved(folder: Path, name: str, **change: object) -> None:
    """Write a run of the experiment ``workers`` in which the arm took twice the time."""
    twice = evidence.Figures(
        "a", "b", "ms", [1.0, 1.01, 0.99], [1.01, 0.99, 1.0], [2.0, 2.01, 1.99]
    )
    record = {
        "schema": evidence.SCHEMA,
        "experiment": "workers",
        "machine": "Apple M4",
        "device": "cpu",
        "versions": {"torch": "2.13.0"},
        "comparisons": [asdict(twice)],
    }
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps({**record, **change}), "utf-8")


def test_what_was_measured_here_is_shown_with_its_machine(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    saved(tmp_path / "evidence", "workers-cpu-1.json")
    assert main(["claims", "zero-workers"]) == 0
    printed = capsys.readouterr().out
    assert "measured on Apple M4, cpu, torch 2.13.0" in printed
    assert "ms: a 1, b 2; ratio 2.000 [" in printed
    assert "in 3 rounds: more\n" in printed


@pytest.mark.parametrize(
    "change",
    [{"schema": 3}, {"versions": {}}, {"comparisons": [{}]}, {"comparisons": 3}, {"versions": 1}],
)
def test_a_record_that_cannot_be_read_is_a_warning(
    change: dict[str, object], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    saved(tmp_path / "evidence", "workers-cpu-1.json", **change)
    assert main(["claims", "zero-workers"]) == 0
    printed = capsys.readouterr()
    assert "measured on" not in printed.out
    assert printed.err.startswith("warning: ")
