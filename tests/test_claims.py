"""What guides claim: complete rows, each with a test that exists and runs where the row says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from metalassay import claims

ROOT = Path(__file__).parents[1]
ALL = claims.load()
ROW = """
[[claim]]
id = "one"
claim = "it is so"
guides = ["000"]
verdict = "false"
truth = "it is not"
source = "run"
decided = "anywhere"
test = "compat/test_x.py::test_y"
"""
# What a test calls or asks that only a Mac can answer.
NEEDS_A_MAC = re.compile(r"(?<!\.)\brun\(|on_mps\(|require_mps\(|run_function\(|\bdarwin\b")


def source_of(test: str) -> str:
    """Return the source of a test by its node name; an empty text if there is none."""
    path, _, name = test.partition("::")
    text = (ROOT / path).read_text("utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return ast.get_source_segment(text, node) or ""
    return ""


@pytest.mark.parametrize("claim", ALL, ids=lambda claim: claim.id)
def test_a_claim_names_a_test_that_exists(claim: claims.Claim) -> None:
    assert source_of(claim.test)


@pytest.mark.parametrize("claim", ALL, ids=lambda claim: claim.id)
def test_a_claim_says_truly_whether_its_test_needs_a_mac(claim: claims.Claim) -> None:
    assert bool(NEEDS_A_MAC.search(source_of(claim.test))) is (claim.decided != "anywhere")


@pytest.mark.parametrize("claim", ALL, ids=lambda claim: claim.id)
def test_a_row_says_who_claims_what_and_what_is_true(claim: claims.Claim) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", claim.id)
    assert claim.guides
    assert set(claim.guides) <= {f"{number:03}" for number in range(5)}
    assert claim.claim != claim.truth
    assert claim.source


def test_a_row_becomes_a_claim() -> None:
    assert claims.parse(ROW) == (
        claims.Claim(
            id="one",
            claim="it is so",
            guides=("000",),
            verdict="false",
            truth="it is not",
            source="run",
            decided="anywhere",
            test="compat/test_x.py::test_y",
        ),
    )


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (("false", "wrong"), ValueError, "one: verdict is 'wrong'"),
        (("anywhere", "here"), ValueError, "one: decided is 'here'"),
        (('source = "run"\n', ""), KeyError, "one has no source"),
        (('id = "one"\n', ""), KeyError, "a row without id has no id"),
    ],
)
def test_a_row_that_no_reader_could_use_is_an_error_that_names_it(
    change: tuple[str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        claims.parse(ROW.replace(*change))


def test_an_id_used_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="the id one is used twice"):
        claims.parse(ROW + ROW)
