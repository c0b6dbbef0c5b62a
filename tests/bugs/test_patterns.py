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
        ("'x' is", "'x' is", True),
        ("'x' is", "ax is", False),
        ("a|b c", "xb c", False),
        ("a|b c", "b\nc", True),
        ("[' ]x", "' x", True),
        (r"no\(\) of \d+ 'x'", "no() of 12 x", True),
        (r"\.py is", "a.py is", True),
    ],
)
def test_a_pattern_matches_what_people_paste(pattern: str, text: str, matches: bool) -> None:
    assert bool([*patterns.compiled(pattern).finditer(text)]) is matches


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("MPS backend out of memory", ("backend",)),
        ("a bb|ccc d", ("bb", "ccc")),
        (r"\d+ of [abc]+ colou?rs", ("colo",)),
        ("(one|two) three", ("three",)),
        ("(one|two)", ()),
        ("longest{2} word", ("longes",)),
        ("is|", ()),
        ("", ()),
    ],
)
def test_words_without_which_a_pattern_cannot_match(pattern: str, words: tuple[str, ...]) -> None:
    assert patterns.required_words(pattern) == words


@pytest.mark.parametrize("bug", bugs.load(), ids=lambda bug: bug.id)
def test_what_a_pattern_matches_has_one_of_its_words(bug: bugs.Bug) -> None:
    """Otherwise the pattern would be skipped; the pattern itself, unescaped, is a text that it matches."""
    for symptom in bug.symptoms:
        for pattern, _ in matching.patterns(symptom):
            plain = re.sub(r"\\(\W)", r"\1", pattern)
            words = patterns.required_words(pattern)
            assert not words or any(word in plain for word in words)
