"""A pattern of the data matches what people paste, from the beginning of a word."""

from __future__ import annotations

import re

import pytest

from metalassay import bugs
from metalassay.bugs import matching, patterns


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("MPS backend", "the MPS\n  backend", True),
        ("MPS backend", "xMPS backend", False),
        ("MPS backend", "MPS" + " " * 300 + "backend", False),
        ("has no 'x'", "has no `x`", True),
        ("has no 'x'", "has no x", True),
        ("has no `x`", 'has no "x"', True),
        ("has no 'x'", "has no x'", True),
        ("'x' is", "'x' is", True),
        ("'x' is", "ax is", False),
        ("a|b c", "xb c", False),
        ("a|b c", "b\nc", True),
        ("[' ]x", "' x", True),
        (r"no\(\) of \d+ 'x'", "no() of 12 x", True),
    ],
)
def test_a_pattern_matches_what_people_paste(pattern: str, text: str, matches: bool) -> None:
    assert bool([*patterns.compiled(pattern).finditer(text)]) is matches


@pytest.mark.parametrize("bug", bugs.load(), ids=lambda bug: bug.id)
def test_what_a_pattern_matches_has_its_word(bug: bugs.Bug) -> None:
    """Otherwise the pattern would be skipped; the pattern itself, unescaped, is a text that it matches."""
    for symptom in bug.symptoms:
        for pattern, _ in matching.patterns(symptom):
            plain = re.sub(r"\\(\W)", r"\1", pattern)
            assert patterns.required_word(pattern) in plain
