"""`metalassay claims`: which claims it lists, what it says of one, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from experiment_files import MAC, SERVER, figures, pretend, record, write

from metalassay.claims import catalogue as claims
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


ARMS = figures("num_workers=0", "num_workers=4", "milliseconds a pass", 2.0)


@pytest.fixture
def on_a_mac(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Believe that this is a Mac, which has measured that workers are slower; return the file."""
    pretend(monkeypatch, MAC)
    return write(Path("reports", "claims"), record("workers", [ARMS], device="cpu"))


@pytest.mark.usefixtures("on_a_mac")
def test_what_was_measured_here_is_shown_apart_from_the_verdict(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["claims", "zero-workers"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "verdict needs a Mac" in printed
    assert "decided on this Mac: confirmed (Apple M4 (4P+6E CPU" in printed
    assert "num_workers=0 10, num_workers=4 20" in printed
    assert main(["claims", "--verdict", "needs a Mac"]) == 0
    printed_both = capsys.readouterr()
    assert "decided on this Mac: refuted (Apple M4" in " ".join(printed_both.out.split())
    assert printed_both.err.endswith("; 2 decided on this Mac\n")


@pytest.mark.usefixtures("on_a_mac")
def test_json_has_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "four-workers-faster", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["measured"]
    assert (found["where"], found["verdict"], found["decides"]) == ("on this Mac", "refuted", True)
    assert found["comparisons"][0]["word"] == "more"


def test_another_folder_can_be_read_and_a_file_that_cannot_is_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch, SERVER)
    write(tmp_path / "other", record("workers", [ARMS], device="cpu"))
    write(tmp_path / "other", {"schema": 3}, "bad.json")
    assert main(["claims", "zero-workers", "--folder", "other"]) == 0
    printed = capsys.readouterr()
    assert "decided on another Mac: confirmed" in " ".join(printed.out.split())
    assert printed.err.startswith("warning: other/bad.json: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--all"], "metalassay claims run --all"),
        (["--minutes", "3"], "--minutes is an option of run"),
        (["zero-workers", "neural-engine"], "one can be shown"),
        (["run", "--all", "--guide", "002"], "choose what is listed"),
    ],
)
def test_options_of_run_are_refused_elsewhere(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["claims", *arguments]) == 2
    assert words in capsys.readouterr().err
