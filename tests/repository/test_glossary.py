"""docs/glossary.md explains every verdict, in alphabetical order, with links that work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metalassay.bugs import verdict
from metalassay.claims import catalogue as claims
from metalassay.compare import decision

PAGE = Path(__file__).parents[2] / "docs" / "glossary.md"


@pytest.fixture(scope="module")
def entries() -> dict[str, str]:
    """Return the explanation of each term, in the order of the page."""
    rows = re.findall(r"^- \*\*(.+?)\*\*: (.+)$", PAGE.read_text("utf-8"), re.MULTILINE)
    terms = [term for term, _ in rows]
    assert len(set(terms)) == len(terms)
    return dict(rows)


def test_every_line_is_an_entry(entries: dict[str, str]) -> None:
    lines = PAGE.read_text("utf-8").splitlines()
    assert len([line for line in lines if line.startswith("-")]) == len(entries)


@pytest.mark.parametrize(
    "word",
    [
        *verdict.MEANING,
        *claims.VERDICTS,
        decision.SLOWER,
        decision.FASTER,
        decision.SAME,
        decision.INCONCLUSIVE,
    ],
)
def test_every_verdict_is_explained_as_a_verdict(entries: dict[str, str], word: str) -> None:
    assert re.match("a (verdict|result)", entries[word])


def test_the_red_verdicts_are_called_red(entries: dict[str, str]) -> None:
    words = {
        word for word in verdict.MEANING if entries[word].startswith("a verdict, shown in red")
    }
    assert words == verdict.RED


def test_the_terms_are_in_alphabetical_order(entries: dict[str, str]) -> None:
    def letters(term: str) -> str:
        return re.sub("[^a-z0-9 ]", "", term.lower())

    assert list(entries) == sorted(entries, key=letters)


def test_an_entry_is_short_and_ends_with_a_full_stop(entries: dict[str, str]) -> None:
    for term, text in entries.items():
        assert text.endswith("."), term
        assert len(text) < 300, term


def test_links_and_references_lead_somewhere(entries: dict[str, str]) -> None:
    for term, text in entries.items():
        for target in re.findall(r"\]\(([^)#]+)", text):
            assert (PAGE.parent / target).is_file(), (term, target)
        for path in re.findall(r"`((?:src|docs|compat)/[^`]+|\w+\.toml)`", text):
            assert (PAGE.parents[1] / path).exists(), (term, path)
        for other in re.findall(r"^see \*(.+)\*\.$", text):
            assert other in entries, (term, other)
