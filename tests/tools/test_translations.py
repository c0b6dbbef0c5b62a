"""The Chinese texts: none is stale, placeholders, numbers and names agree, and what is missing is shown in English."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator

import pytest
import translations

from metalassay import bugs, claims, language
from metalassay.cli.main import main

PACKAGES = (claims.__name__, bugs.__name__)
FORTY = 40

_PLACE = re.compile(r"\{\w+\}")
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)*")
# What is code is the same in every language: names with underscores, dots or brackets, and options.
_CODE = re.compile(r"(?<![\w'])(?:--[\w-]+|[\w.]*\w(?:_|\.|\()[\w.=()]*\w)")
_SPELT = ("e.g", "i.e")


def pairs() -> Iterator[tuple[str, str, str]]:
    for package in PACKAGES:
        for row, texts in translations.english(package).items():
            for known, chinese in language.load(package).get(row, {}).items():
                if known in texts:
                    yield f"{row} {known}", texts[known], chinese


PAIRS = list(pairs())


@pytest.mark.parametrize("package", PACKAGES)
def test_no_translation_is_stale(package: str) -> None:
    stale = translations.stale(package)
    assert stale == [], "translate them anew, or: python tools/translations.py --drop"


def test_placeholders_agree() -> None:
    wrong = [
        place
        for place, english, chinese in PAIRS
        if Counter(_PLACE.findall(english)) != Counter(_PLACE.findall(chinese))
        or english.count("[[") != chinese.count("[[")
        or english.count("]]") != chinese.count("]]")
    ]
    assert wrong == []


def test_names_of_code_are_kept() -> None:
    wrong = {
        place: sorted(missing)
        for place, english, chinese in PAIRS
        if (missing := {name for name in _CODE.findall(english) if name not in chinese} - {*_SPELT})
    }
    assert wrong == {}


def test_numbers_are_kept() -> None:
    wrong = {
        place: sorted(missing)
        for place, english, chinese in PAIRS
        if (
            missing := {number.rstrip(",") for number in _NUMBER.findall(english)}
            - {*_NUMBER.findall(chinese)}
        )
        and not all(number in chinese for number in missing)
    }
    assert wrong == {}


def test_the_translations_are_chinese() -> None:
    commands_only = [
        place
        for place, english, chinese in PAIRS
        if not re.search(r"[\u4e00-\u9fff]", chinese)
        and re.search(r" [a-z]{4,} [a-z]{2,} ", english)
    ]
    assert commands_only == []


def test_labels_have_the_placeholders_of_their_keys() -> None:
    for package in PACKAGES:
        for english, chinese in language.load(package)[language.LABELS].items():
            assert set(_PLACE.findall(english)) == set(_PLACE.findall(chinese)), english


def test_the_forty_most_frequent_answers_are_there() -> None:
    assert len(language.load(bugs.__name__).keys() - {language.LABELS}) >= FORTY


def test_a_stale_translation_is_found_and_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    known = language.fingerprint("new")
    monkeypatch.setitem(translations.SENTENCES, "x", lambda: iter([("row", "new")]))
    monkeypatch.setattr(language, "load", lambda _: {"row": {known: "新", "0123456789": "旧"}})
    assert translations.stale("x") == [("row", "0123456789")]
    text = f'# head\n[row]\n{known} = "新"\n0123456789 = "旧"\n\n[other]\n0123456789 = "旧"\n'
    left = translations.drop(text, translations.stale("x"))
    assert left == f'# head\n[row]\n{known} = "新"\n\n[other]\n0123456789 = "旧"\n'


def test_translations_are_added_to_their_rows() -> None:
    text = '# head\n[labels]\na = "甲"\n\n[row]\n0123456789 = "旧"\n'
    new = {"row": {"aaaaaaaaaa": '新 "x"'}, "other": {"bbbbbbbbbb": "另"}}
    read = tomllib.loads(translations.add(text, new))
    assert read == {
        "labels": {"a": "甲"},
        "row": {"0123456789": "旧", "aaaaaaaaaa": '新 "x"'},
        "other": {"bbbbbbbbbb": "另"},
    }


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a Chinese locale, and a wide terminal."""
    for name in ("LC_ALL", "LC_MESSAGES", language.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.usefixtures("chinese")
def test_a_chinese_locale_shows_claims_in_chinese_and_the_option_switches_it_off(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["claims", "neural-engine"]) == 0
    printed = capsys.readouterr()
    assert "结论      不成立" in printed.out
    assert "MPS 就是神经网络引擎" in printed.out
    assert printed.err == ""
    assert main(["claims", "neural-engine", "--lang", "en"]) == 0
    assert "MPS is the Neural Engine" in capsys.readouterr().out
    assert main(["claims", "neural-engine", "--json"]) == 0
    assert "MPS is the Neural Engine" in capsys.readouterr().out


@pytest.mark.usefixtures("chinese")
def test_what_is_not_translated_is_shown_in_english_and_said_to_be(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without = {**language.load(claims.__name__), "neural-engine": {}}
    monkeypatch.setattr(language, "load", lambda _: without)
    assert main(["claims", "neural-engine"]) == 0
    printed = capsys.readouterr()
    assert "MPS is the Neural Engine" in printed.out
    assert "（2 处文字尚无中文译文" in printed.err


@pytest.mark.usefixtures("chinese")
def test_explain_answers_in_chinese_with_the_versions_and_the_command_filled_in(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "UnboundLocalError: local variable 'current_batch' referenced before assignment"
    assert main(["explain", "--versions", "accelerate=1.8.0", text]) == 0
    printed = capsys.readouterr().out
    assert "空的 DataLoader 先产生一个 None 批次，然后崩溃 [accelerate-empty-shard]" in printed
    assert "升级：pip install 'accelerate>=1.9.0'" in printed
    assert "accelerate 1.8.0：受影响" in printed
    assert main(["explain", "--versions", "accelerate=1.8.0", "--json", text]) == 0
    assert "An empty DataLoader" in capsys.readouterr().out


@pytest.mark.usefixtures("chinese")
def test_an_answer_that_is_put_together_is_english_and_said_to_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "NotImplementedError: The operator 'aten::isin.Tensor_Tensor_out' is not currently implemented for the MPS device."
    assert main(["explain", "--versions", "torch=2.3.0", text]) == 0
    printed = capsys.readouterr().out
    assert "做法" in printed
    assert "处文字尚无中文译文" in printed


@pytest.mark.parametrize(
    "command", [["claims"], ["claims", "run", "--all", "--dry-run"], ["explain", "x"]]
)
def test_an_unknown_language_is_refused(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--lang", "fr"]) == 2
    assert "--lang: no texts in 'fr'" in capsys.readouterr().err


README = "# Title\n\nFirst.\n\n## Use\n\nOld.\n<!-- t: generated by x -->1<!-- end of t -->\n"
README_ZH = "# 标题\n\n第一。\n\n## 用法\n\n旧。\n"


def test_the_chinese_readme_is_not_stale() -> None:
    texts = (each.read_text("utf-8") for each in (translations.ENGLISH, translations.CHINESE))
    stale = translations.stale_sections(*texts)
    assert stale == [], "translate these, then: python tools/translations.py --readme"


def test_a_changed_section_of_the_readme_is_named() -> None:
    assert translations.stale_sections(README, README_ZH) == ["Title", "Use"]
    stamped = translations.stamped(README, README_ZH)
    assert translations.stale_sections(README, stamped) == []
    assert translations.stamped(README, stamped) == stamped
    assert translations.stale_sections(README.replace("Old", "New"), stamped) == ["Use"]


def test_a_generated_table_makes_no_translation_stale() -> None:
    stamped = translations.stamped(README, README_ZH)
    assert translations.stale_sections(README.replace("x -->1<", "x -->2<"), stamped) == []
