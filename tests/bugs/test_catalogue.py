"""Reading the catalogue of bugs, and the versions to which a bug applies."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from metalassay import bugs
from metalassay.bugs import Bug, Symptom, catalogue
from metalassay.diagnosis import explain, explain_text
from metalassay.results import verdict_file

TEXT = """
[[bug]]
id = "one"
title = "One"
link = "https://example.org/1"
where = [{ liba = ">=1.0,<2.0" }, { liba = ">=2.0", libb = "<1.0" }]
cause = "a comparison is wrong"
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
def test_a_bug_applies_if_every_package_of_one_alternative_matches(
    versions: dict[str, str], hit: bool
) -> None:
    assert ONE.hits(versions) is hit


def test_a_symptom_has_its_own_range_or_that_of_its_bug() -> None:
    assert not ONE.hits({"liba": "1.2"}, "crash")
    assert ONE.hits({"liba": "1.2"}, "hang")


def test_an_unknown_symptom_is_an_error() -> None:
    with pytest.raises(KeyError, match="one has no symptom 'smell'"):
        ONE.hits({}, "smell")


def test_the_range_as_text() -> None:
    assert ONE.where_text() == "liba >=1.0,<2.0 or liba >=2.0 with libb <1.0"


def test_an_id_used_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="the id one is used twice"):
        bugs.unique(bugs.parse(TEXT + TEXT))


def test_a_mask_that_does_not_exist_is_an_error() -> None:
    masked = TEXT.replace('fixes = ["upgrade"]', 'fixes = ["upgrade"]\nmasked_by = ["two"]')
    with pytest.raises(ValueError, match="one is masked by two, which does not exist"):
        bugs.unique(bugs.parse(masked))


def test_a_bug_whose_fix_brings_another_must_exist() -> None:
    brought = TEXT.replace('fixes = ["upgrade"]', 'fixes = ["upgrade"]\nbrought_by = "two"')
    with pytest.raises(ValueError, match="one is brought by two, which does not exist"):
        bugs.unique(bugs.parse(brought))


def test_a_broken_pattern_is_an_error_that_names_the_row() -> None:
    with pytest.raises(ValueError, match=r"one, symptom crash: .* is not a valid pattern"):
        bugs.parse(TEXT.replace('match = "no"', 'match = "("'))


REPORTED = bugs.parse(
    TEXT.replace('fixes = ["upgrade"]', 'fixes = ["upgrade"]\nreported_only = true')
)


def test_explain_and_the_verdict_file_mark_a_bug_that_was_only_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = bugs.parse(TEXT)
    for known, only in ((run, False), (REPORTED, True)):
        assert known[0].reported_only is only
        monkeypatch.setattr(bugs, "load", lambda known=known: known)
        answer = explain.explain("ValueError: no", {"liba": "1.7"})
        note = bugs.REPORTED_ONLY
        assert [note in each.found.sure for each in answer.explanations] == [only]
        assert (note in explain_text.as_text(answer, width=200)) is only
        record = verdict_file.bug_record(known[0], {"liba": "1.7"}, [])
        assert record["provenance"] == (note if only else "run by us")


def test_a_flag_that_is_not_a_boolean_is_an_error() -> None:
    with pytest.raises(ValueError, match="reported_only = 'yes' is neither true nor false"):
        bugs.parse(TEXT.replace('fixes = ["upgrade"]', 'fixes = []\nreported_only = "yes"'))


def test_a_symptom_may_show_only_sometimes() -> None:
    [bug, *_] = bugs.parse(TEXT)
    assert [symptom.intermittent for symptom in bug.symptoms] == [False] * len(bug.symptoms)
    sometimes = TEXT.replace('match = "no"', 'match = "no"\nintermittent = true')
    assert next(symptom.intermittent for symptom in bugs.parse(sometimes)[0].symptoms)
    with pytest.raises(ValueError, match="one, symptom crash: intermittent = 1 is neither"):
        bugs.parse(TEXT.replace('match = "no"', 'match = "no"\nintermittent = 1'))


def test_where_one_meets_a_bug_and_how_often_is_read() -> None:
    [bug, *_] = bugs.parse(TEXT)
    assert (bug.entry, bug.stops, bug.reports, bug.needs) == ("", False, 0, "")
    more = 'fixes = ["upgrade"]\nentry = "Trainer"\nstops = true\nreports = 3\nneeds = "mps"'
    [bug, *_] = bugs.parse(TEXT.replace('fixes = ["upgrade"]', more))
    assert (bug.entry, bug.stops, bug.reports, bug.needs) == ("Trainer", True, 3, bugs.MPS)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("reports = -1", "one: reports = -1 is no count"),
        ("reports = true", "one: reports = True is no count"),
        ('reports = "3"', "one: reports = '3' is no count"),
        ('needs = "cuda"', "one: needs = 'cuda' is not 'mps'"),
        ("stops = 1", "one: stops = 1 is neither true nor false"),
    ],
)
def test_a_malformed_field_is_an_error_that_names_the_bug(line: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        bugs.parse(TEXT.replace('fixes = ["upgrade"]', f'fixes = ["upgrade"]\n{line}'))


def fixes(text: str) -> tuple[bugs.Fix, ...]:
    """Parse the example with other fixes."""
    return bugs.parse(TEXT.replace('"upgrade"', text))[0].fixes


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('"restart"', "restart"),
        ('{ install = ["p>=1"] }', "upgrade: pip install 'p>=1'"),
        (
            '{ text = "{install} (no more)", install = ["p>=1", "q"] }',
            "pip install 'p>=1' q (no more)",
        ),
    ],
)
def test_a_fix_is_a_sentence_with_the_command_in_its_place(text: str, sentence: str) -> None:
    [fix] = fixes(text)
    assert str(fix) == sentence


def test_only_a_fix_that_changes_versions_has_requirements() -> None:
    keep, change = fixes('"restart", { install = ["p>=1", "q[x]<2"] }')
    assert keep.requirements() == ()
    assert [(each.name, str(each.specifier)) for each in change.requirements()] == [
        ("p", ">=1"),
        ("q", "<2"),
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{ text = "install it", install = ["p>=1"] }', "needs both {install} and `install`"),
        ('"{install}"', "needs both {install} and `install`"),
        ("{ install = [] }", "needs both {install} and `install`"),
        ('{ install = ["p=1"] }', "invalid requirement in a fix"),
        ('{ text = "restart", upgrade = true }', "a fix has no field 'upgrade'"),
    ],
)
def test_a_malformed_fix_is_an_error_that_names_the_bug(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)) as error:
        fixes(text)
    assert "known_bugs: one: " in str(error.value)


def test_advice_lists_the_fixes_and_then_what_does_not_help() -> None:
    text = TEXT.replace('fixes = ["upgrade"]', 'fixes = ["upgrade"]\nnot_fixes = ["a retry"]')
    assert bugs.parse(text)[0].advice() == ("upgrade", "not a fix: a retry")


def test_a_symptom_is_generic_only_if_it_is_marked_so() -> None:
    marked = bugs.parse(TEXT.replace('match = "late"', 'match = "late"\ngeneric = true'))[0]
    assert [symptom.generic for symptom in marked.symptoms] == [False, True]
    with pytest.raises(
        ValueError, match="one, symptom hang: generic = 1 is neither true nor false"
    ):
        bugs.parse(TEXT.replace('match = "late"', 'match = "late"\ngeneric = 1'))


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"title": "other words", "cause": "other words", "fixes": ()}, True),
        ({"entry": "Trainer", "stops": True, "reports": 3, "needs": "mps"}, True),
        ({"where": ({"lib": SpecifierSet("<3")},)}, False),
        ({"masked_by": ("mask",)}, False),
        ({"patch": "other"}, False),
        ({"symptoms": (Symptom("s", "ValueError", "m", ("seen",), (), True),)}, True),
        ({"symptoms": (Symptom("s", "ValueError", "other", (), ()),)}, False),
        (
            {"symptoms": (Symptom("s", "ValueError", "m", (), ({"lib": SpecifierSet("<1")},)),)},
            False,
        ),
    ],
)
def test_the_revision_is_of_what_verdicts_depend_on(
    change: dict[str, Any], same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    symptom = Symptom("s", "ValueError", "m", (), ())
    where = ({"lib": SpecifierSet("<2")},)
    bug = Bug("b", "title", "link", None, where, "cause", (), (), None, (), (symptom,))

    def revision(of: Bug) -> str:
        monkeypatch.setattr(catalogue, "load", lambda: (of,))
        catalogue.revision.cache_clear()
        return catalogue.revision()

    before, after = revision(bug), revision(replace(bug, **change))
    catalogue.revision.cache_clear()
    assert (before == after) is same
