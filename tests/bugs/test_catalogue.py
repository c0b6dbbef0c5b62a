"""Which versions a bug applies to."""

from __future__ import annotations

import pytest

from metalassay import bugs
from metalassay.diagnosis import explain
from metalassay.results import verdict_writer

TEXT = """
[[bug]]
id = "one"
title = "One"
link = "https://example.org/1"
where = [{ liba = ">=1.0,<2.0" }, { liba = ">=2.0", libb = "<1.0" }]
cause = "it was written so"
fixes = ["upgrade"]
[[bug.symptom]]
id = "crash"
raises = "ValueError"
match = "no"
where = [{ liba = ">=1.5,<2.0" }]
[[bug.symptom]]
id = "hang"
raises = "TimeoutError"
match = "late"
"""
ONE = bugs.parse(TEXT)[0]


@pytest.mark.parametrize(
    ("versions", "hit"),
    [
        ({"liba": "0.9"}, False),
        ({"liba": "1.0"}, True),
        ({"liba": "1.9.post1"}, True),
        ({"liba": "1.5rc1"}, True),
        ({"liba": "1.9+cpu"}, True),
        ({"liba": "2.0"}, False),
        ({"liba": "2.0", "libb": "0.9"}, True),
        ({"liba": "2.0", "libb": "1.0"}, False),
        ({"libb": "0.9"}, False),
        ({}, False),
    ],
)
def test_a_bug_hits_when_every_package_of_one_alternative_matches(
    versions: dict[str, str], hit: bool
) -> None:
    assert ONE.hits(versions) is hit


def test_a_symptom_may_have_a_smaller_range_or_share_its_bugs() -> None:
    assert not ONE.hits({"liba": "1.2"}, "crash")
    assert ONE.hits({"liba": "1.2"}, "hang")


def test_an_unknown_symptom_is_an_error() -> None:
    with pytest.raises(KeyError, match="one has no symptom 'smell'"):
        ONE.hits({}, "smell")


def test_the_range_in_words() -> None:
    assert ONE.where_text() == "liba >=1.0,<2.0 or liba >=2.0 with libb <1.0"


def test_an_id_used_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="the id one is used twice"):
        bugs.unique(bugs.parse(TEXT + TEXT))


def test_a_mask_that_does_not_exist_is_an_error() -> None:
    masked = TEXT.replace('fixes = ["upgrade"]', 'fixes = ["upgrade"]\nmasked_by = ["two"]')
    with pytest.raises(ValueError, match="one is masked by two, which does not exist"):
        bugs.unique(bugs.parse(masked))


def test_a_broken_pattern_is_an_error_that_names_the_row() -> None:
    with pytest.raises(ValueError, match=r"one, symptom crash: .* is not a valid pattern"):
        bugs.parse(TEXT.replace('match = "no"', 'match = "("'))


REPORTED = bugs.parse(
    TEXT.replace('fixes = ["upgrade"]', 'fixes = ["upgrade"]\nreported_only = true')
)


def test_what_was_only_reported_says_so_wherever_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = bugs.parse(TEXT)
    for known, only in ((run, False), (REPORTED, True)):
        assert known[0].reported_only is only
        monkeypatch.setattr(bugs, "load", lambda known=known: known)
        answer = explain.explain("ValueError: no", {"liba": "1.7"})
        assert [each.reported_only for each in answer.explanations] == [only]
        said = "reported upstream, not run by us"
        assert (said in explain.as_text(answer, width=200)) is only
        record = verdict_writer.bug_record(known[0], {"liba": "1.7"}, [])
        assert record["provenance"] == (said if only else "run by us")


def test_a_flag_that_is_no_flag_is_an_error() -> None:
    with pytest.raises(ValueError, match="reported_only = 'yes' is neither true nor false"):
        bugs.parse(TEXT.replace('fixes = ["upgrade"]', 'fixes = []\nreported_only = "yes"'))
