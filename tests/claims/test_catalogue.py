"""claims/: every row has what its verdict demands, and what it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from metalassay.claims import arithmetic, experiments
from metalassay.claims import catalogue as claims
from metalassay.errors import UserError

ROOT = Path(__file__).parents[2]
FOLDER = Path(claims.__file__).parent / "data"
ALL = claims.load()
LINES = {"000": 179, "001": 120, "002": 365, "003": 142, "004": 283}
"""The length of each guide."""
ROW = """
[[claim]]
id = "one"
claim = "it is so"
guides = ["000:14", "002:33-34"]
verdict = "refuted"
truth = "it is not"
source = "run on torch 2.13.0"
"""
# What a test calls or asks that only a Mac can answer.
NEEDS_A_MAC = re.compile(r"(?<!\.)\brun\(|on_mps\(|require_mps\(|run_function\(|\bdarwin\b")
# A URL, or what was looked at: a release, a wheel, a run, or the guide itself.
SOURCE = re.compile(r"https://\S+|\bwheels?\b|\brun on\b|\b\d+\.\d+\.\d+\b|\bguides? 00\d\b")


def with_field(field: str) -> list[claims.Claim]:
    """Return the claims in which this optional field is not empty."""
    return [claim for claim in ALL if getattr(claim, field)]


def source_of(test: str) -> str:
    """Return the source of a test by its node name; an empty text if there is none."""
    path, _, name = test.partition("::")
    text = (ROOT / path).read_text("utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return ast.get_source_segment(text, node) or ""
    return ""


@pytest.mark.parametrize("claim", with_field("test"), ids=lambda claim: claim.id)
def test_a_deciding_test_exists_and_runs_anywhere(claim: claims.Claim) -> None:
    assert source_of(claim.test)
    assert not NEEDS_A_MAC.search(source_of(claim.test))


@pytest.mark.parametrize("claim", with_field("program_test"), ids=lambda claim: claim.id)
def test_a_test_of_a_program_exists_and_the_source_names_its_commit(claim: claims.Claim) -> None:
    assert claim.program_test.startswith("tests/claims/test_guide_programs.py::")
    assert source_of(claim.program_test)
    assert re.search(r"\bat [0-9a-f]{7,}", claim.source)


@pytest.mark.parametrize("claim", with_field("mac_test"), ids=lambda claim: claim.id)
def test_a_test_for_macs_exists_and_needs_one(claim: claims.Claim) -> None:
    assert NEEDS_A_MAC.search(source_of(claim.mac_test))


@pytest.mark.parametrize("claim", with_field("arithmetic"), ids=lambda claim: claim.id)
def test_arithmetic_exists_and_is_tested_with_the_words_of_the_claim(claim: claims.Claim) -> None:
    assert callable(getattr(arithmetic, claim.arithmetic))
    text = (ROOT / "tests" / "claims" / "test_arithmetic.py").read_text("utf-8")
    tests = [
        ast.get_source_segment(text, node) or ""
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    mine = [test for test in tests if test.startswith(f"def test_{claim.arithmetic}")]
    assert any(f'says("{claim.id}"' in test for test in mine)


@pytest.mark.parametrize("claim", with_field("source"), ids=lambda claim: claim.id)
def test_a_source_can_be_looked_up(claim: claims.Claim) -> None:
    assert SOURCE.search(claim.source)


@pytest.mark.parametrize("claim", with_field("command"), ids=lambda claim: claim.id)
def test_a_command_names_an_experiment_or_an_existing_file(claim: claims.Claim) -> None:
    words = claim.command.split()
    if words[0] == "metalassay":
        assert words[:3] == ["metalassay", "claims", "run"]
        assert words[3] in {one.name for one in experiments.load()}
        return
    assert words[0] == "python"
    (path,) = (word for word in words if word.endswith(".py"))
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("claim", ALL, ids=lambda claim: claim.id)
def test_a_row_has_guides_a_claim_and_the_truth(claim: claims.Claim) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", claim.id)
    assert claim.claim != claim.truth
    assert claim.truth
    for place in claim.guides:
        assert place.last <= LINES[place.guide], str(place)
    assert len(set(claim.guides)) == len(claim.guides)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_a_claim_is_in_the_file_of_its_first_guide(path: Path) -> None:
    for claim in claims.parse(path.read_text("utf-8")):
        assert path.stem == f"guide_{claim.guides[0].guide}", claim.id


def test_every_guide_has_claims_and_there_are_at_least_sixty() -> None:
    assert {place.guide for claim in ALL for place in claim.guides} == LINES.keys()
    assert len(ALL) >= 60


def test_a_row_is_parsed_into_a_claim() -> None:
    assert claims.parse(ROW) == (
        claims.Claim(
            id="one",
            claim="it is so",
            guides=(claims.Place("000", 14, 14), claims.Place("002", 33, 34)),
            verdict="refuted",
            truth="it is not",
            source="run on torch 2.13.0",
        ),
    )


def test_a_place_is_printed_as_it_is_written() -> None:
    assert [str(claims.place(text)) for text in ("002:40", "002:33-34")] == ["002:40", "002:33-34"]


def verdict(word: str) -> tuple[str, str]:
    """Return the change of the row's verdict to this one."""
    return '"refuted"', f'"{word}"'


SOURCE_LINE = 'source = "run on torch 2.13.0"'


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ([verdict("false")], ValueError, "one: verdict 'false' is not one of"),
        ([(SOURCE_LINE, "")], ValueError, "one: no evidence that it is refuted"),
        ([verdict("needs a Mac")], ValueError, "one: needs a mac_test or a command"),
        (
            [verdict("needs a Mac"), ("source", "test")],
            ValueError,
            "one: a claim that a test or arithmetic decides needs no Mac",
        ),
        (
            [verdict("not testable"), ("source", "command")],
            ValueError,
            "one: a claim that is not testable has no test",
        ),
        ([('"000:14"', '"005:14"')], ValueError, "one: '005:14' is not a place"),
        ([('"000:14"', '"000:0"')], ValueError, "one: '000:0' is not a place"),
        ([('"000:14"', '"000"')], ValueError, "one: '000' is not a place"),
        (
            [('"000:14"', '"000:9-3"')],
            ValueError,
            "one: '000:9-3': the last line precedes the first",
        ),
        ([('["000:14", "002:33-34"]', "[]")], ValueError, "one: no guide is named"),
        ([(SOURCE_LINE, 'was = "refuted"')], ValueError, "one: was 'refuted' is neither another"),
        ([(SOURCE_LINE, 'was = "unknown"')], ValueError, "one: was 'unknown' is neither another"),
        ([("source", "sauce")], ValueError, "one: unknown field 'sauce'"),
        ([('truth = "it is not"', "")], KeyError, "one has no truth"),
        ([('id = "one"', "")], KeyError, "a row without id has no id"),
    ],
)
def test_an_invalid_row_is_an_error_that_names_it(
    changes: list[tuple[str, str]], error: type[Exception], words: str
) -> None:
    text = ROW
    for change in changes:
        assert change[0] in text
        text = text.replace(*change)
    with pytest.raises(error, match=re.escape(words)):
        claims.parse(text)


@pytest.mark.parametrize(
    ("fields", "decided"),
    [
        ({"verdict": "refuted", "source": "x", "mac_test": "y"}, "documents"),
        ({"verdict": "refuted", "source": "x", "test": "y"}, "test"),
        ({"verdict": "refuted", "source": "x", "arithmetic": "y"}, "arithmetic"),
        ({"verdict": "refuted", "source": "x", "program_test": "y"}, "program"),
        ({"verdict": "needs a Mac", "source": "x", "mac_test": "y"}, "a Mac"),
        ({"verdict": "not testable"}, "nothing"),
    ],
)
def test_the_basis_of_a_verdict_follows_from_the_fields(
    fields: dict[str, str], decided: str
) -> None:
    claim = claims.Claim(id="one", claim="a", guides=(), truth="b", **fields)
    assert claim.decided == decided


def test_an_id_used_twice_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("guide_000", "guide_002"):
        (tmp_path / "data" / f"{name}.toml").write_text(ROW, "utf-8")
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    with pytest.raises(ValueError, match="the id one is used twice"):
        claims.load.__wrapped__()


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("watermark-zero-disable-mps", "watermark-zero-disables-mps"), ("betas", "betas-for-the-m4")],
)
def test_an_unknown_id_is_answered_with_similar_ones(asked: str, meant: str) -> None:
    with pytest.raises(UserError) as raised:
        claims.get(asked)
    assert f"metalassay claims {meant}" in raised.value.next_step
