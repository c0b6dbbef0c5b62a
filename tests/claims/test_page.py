"""docs/ledger.md is made from claims/ and up to date; what it says is what the rows say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from metalassay.claims import catalogue as claims
from metalassay.claims import page

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ledger.md").read_text("utf-8")
ALL = claims.load()


def claim(**fields: str) -> claims.Claim:
    """Return a claim of guides 000 and 002 with these fields."""
    row = {"id": "one", "claim": "a", "verdict": "refuted", "truth": "b", "source": "run on 1"}
    places = (claims.place("000:3"), claims.place("002:4-5"))
    return claims.Claim(guides=places, **{**row, **fields})


def test_the_page_is_up_to_date() -> None:
    assert page.page(ALL) == PAGE, "python tools/ledger_page.py"


def test_the_tool_confirms_that_the_page_is_up_to_date() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "ledger_page.py"), "--check"]
    assert subprocess.run(tool, check=False).returncode == 0


def test_each_claim_has_one_row_and_every_link_on_the_page_works() -> None:
    for each in ALL:
        assert PAGE.count(f'<a id="{each.id}"></a>') == 1, each.id
    anchors = set(re.findall(r'<a id="([^"]+)">', PAGE))
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors
    for path in set(re.findall(r"\]\(\.\./([^)]+)\)", PAGE)):
        assert (ROOT / path).is_file(), path


def test_the_counts_at_the_top_match_the_rows() -> None:
    text = page.page([claim(), claim(id="two", verdict="misleading")])
    assert "| refuted | 1 | 1 | 1 |" in text
    assert "| misleading | 1 | 1 | 1 |" in text
    assert "| all | 2 | 2 | 2 |" in text


def test_a_claim_is_listed_under_its_first_guide_and_linked_from_the_others() -> None:
    first, second = page.page([claim()]).split("## ")[1:]
    assert '<a id="one"></a>' in first
    assert "000:3<br>002:4-5" in first
    assert second.rstrip().endswith("Also claimed here: [`one`](#one).")


def test_text_cannot_break_out_of_its_cell() -> None:
    text = page.page([claim(truth="a | b", source="https://x.org/y; run")])
    assert "a \\| b" in text
    assert "<https://x.org/y>; run" in text
