"""Which language is chosen, how sentences are looked up, and how Chinese is laid out."""

from __future__ import annotations

import pytest

from metalassay import language
from metalassay.errors import UserError

SETTINGS = ("LC_ALL", "LC_MESSAGES", "LANG", language.VARIABLE)


@pytest.fixture(autouse=True)
def no_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the settings of whoever runs the tests away."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "option", "expected"),
    [
        ({}, None, "en"),
        ({"LANG": "C.UTF-8"}, None, "en"),
        ({"LANG": "zh_CN.UTF-8"}, None, "zh"),
        ({"LANG": "zh"}, None, "zh"),
        ({"LANG": "zh_Hans_CN.UTF-8"}, None, "zh"),
        ({"LANG": "zh-Hans"}, None, "zh"),
        ({"LANG": "zh_TW.UTF-8"}, None, "en"),
        ({"LANG": "zha_CN"}, None, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, None, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, None, "zh"),
        ({"LANG": "zh_CN.UTF-8", "METALASSAY_LANG": "en"}, None, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "en", "en"),
        ({"METALASSAY_LANG": "en"}, "zh", "zh"),
    ],
)
def test_the_option_precedes_our_variable_which_precedes_the_locale(
    variables: dict[str, str], option: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert language.chosen(option) == expected


def test_programs_get_english_unless_they_ask_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert language.chosen(None, for_programs=True) == "en"
    assert language.chosen("zh", for_programs=True) == "zh"


def test_an_unknown_language_is_an_error_that_names_where_it_was_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UserError, match=r"--lang: no texts in 'fr' \(choose en or zh\)"):
        language.chosen("fr")
    monkeypatch.setenv(language.VARIABLE, "fr")
    with pytest.raises(UserError, match="METALASSAY_LANG: no texts in 'fr'"):
        language.chosen(None)


@pytest.fixture
def catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand for a catalogue of one sentence and one label."""
    known = {"row": {language.fingerprint("it is so"): "是这样"}, "labels": {"why": "原因"}}
    monkeypatch.setattr(language, "load", lambda _: known)


@pytest.mark.usefixtures("catalogue")
def test_a_sentence_is_shown_in_chinese_and_one_that_was_changed_in_english_and_counted() -> None:
    with language.use("zh"):
        assert language.say("x", "row", "it is\n so") == "是这样"
        assert language.note() == ""
        assert language.say("x", "row", "it is not so") == "it is not so"
        assert language.say("x", "other", "it is so") == "it is so"
        assert language.say("x", "row", "") == ""
        assert language.untranslated() == 2
        assert language.note().startswith("（2 处文字")
        assert (language.label("x", "why"), language.label("x", "how")) == ("原因", "how")
    assert (language.current(), language.untranslated()) == ("en", 0)


@pytest.mark.usefixtures("catalogue")
def test_in_english_nothing_is_looked_up_and_nothing_counted() -> None:
    with language.use("en"):
        assert language.say("x", "row", "it is so") == "it is so"
        assert language.label("x", "why") == "why"
        language.miss("it is so")
        assert language.note() == ""


def test_chinese_takes_two_columns() -> None:
    assert language.columns("MPS 内存，") == 4 + 6
    assert language.pad("原因", 6) == "原因  "


@pytest.mark.parametrize("width", [20, 31, 60])
def test_lines_break_between_characters_and_not_before_punctuation_or_within_words(
    width: int,
) -> None:
    text = "在 forward() 里，用 torch.zeros(n) 新建张量（掩码、位置）；之后再移动它们。" * 3
    lines = language.wrap(text, width, "1. ", "   ")
    assert "".join(lines).replace(" ", "").removeprefix("1.") == text.replace(" ", "")
    # A closing mark may stand beyond the margin by its own width.
    assert all(language.columns(line) <= width + 2 for line in lines)
    assert not any(line.strip()[0] in "，。；、）" for line in lines)
    assert not any(line.endswith("（") for line in lines)
    assert sum("torch.zeros(n)" in line for line in lines) == 3
