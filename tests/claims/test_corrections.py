"""The table of corrected verdicts has each of them once, with what decided it."""

from __future__ import annotations

from metalassay.claims import catalogue as claims
from metalassay.claims import corrections


def claim(**fields: str) -> claims.Claim:
    """Return a claim with these fields."""
    row = {"id": "one", "claim": "a", "verdict": "refuted", "truth": "b", "source": "run on 1"}
    return claims.Claim(guides=(claims.place("000:3"),), **{**row, **fields})


def test_there_is_no_section_without_corrections() -> None:
    assert corrections.section([claim()]) == []


def test_a_row_has_both_verdicts_and_the_deciding_tests() -> None:
    corrected = claim(was="confirmed", test="a.py::test_a", program_test="b.py::test_b")
    (text,) = corrections.section([claim(id="two"), corrected])
    assert text.splitlines()[-1] == (
        "| [`one`](#one) | confirmed | **refuted** | `test_a`<br>`test_b` |"
    )


def test_a_verdict_that_waits_for_a_mac_says_so_and_one_by_source_too() -> None:
    (text,) = corrections.section(
        [claim(was="confirmed", verdict="needs a Mac"), claim(was="not judged")]
    )
    assert text.splitlines()[-2].endswith("| open: a Mac |")
    assert text.splitlines()[-1].endswith("| the source that it names |")


def test_every_correction_is_on_the_page() -> None:
    corrected = [each for each in claims.load() if each.was]
    assert len(corrected) > 30
    (text,) = corrections.section(claims.load())
    assert [text.count(f"](#{each.id}) |") for each in corrected] == [1] * len(corrected)
