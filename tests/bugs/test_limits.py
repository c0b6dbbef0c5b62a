"""The data about limits and mistakes are complete, and recognise what they should and nothing else."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from metalassay import bugs
from metalassay.bugs import limits, patterns
from metalassay.environment import versions
from metalassay.mps.probe import os_floors

ROOT = Path(__file__).parents[2]
ALL = limits.load()
EXAMPLES = tomllib.loads((ROOT / "tests/data/explain/limits_examples.toml").read_text("utf-8"))
PACKAGES = {
    "accelerate",
    "bitsandbytes",
    "datasets",
    "huggingface-hub",
    "numpy",
    "torch",
    "torchvision",
    "transformers",
    "trl",
}


def row(**changes: object) -> str:
    """Return the TOML of a valid limit, with some fields changed."""
    fields = {
        "id": "an-id",
        "title": "a title",
        "link": "https://example.org",
        "patterns": ["some words"],
        "cause": "a cause",
        "do": ["this"],
        "sure": "read",
        "test": "none: an example",
    } | changes
    return "[[limit]]\n" + "\n".join(f"{name} = {value!r}" for name, value in fields.items())


@pytest.mark.parametrize("limit", ALL, ids=lambda limit: limit.id)
def test_every_row_is_complete(limit: limits.Limit) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", limit.id)
    assert limit.link.startswith("https://")
    assert limit.patterns
    assert limit.cause
    assert limit.sure
    texts = [limit.title, *(case.title for case in limit.cases if case.title)]
    assert all(len(text) <= 120 and not text.endswith(".") for text in texts)
    for case in limit.cases:
        assert set(case.when) <= limit.values
        assert any((case.title, case.cause, case.do is not None, case.not_help is not None))
    assert set(limit.packages) <= PACKAGES | versions.MACHINE
    if limit.bug:
        bugs.get(limit.bug)


@pytest.mark.parametrize("limit", ALL, ids=lambda limit: limit.id)
def test_every_row_says_what_to_do(limit: limits.Limit) -> None:
    for do in (limit.do, *(case.do for case in limit.cases if case.do is not None)):
        assert do
        assert all(len(step) <= 200 for step in do)


@pytest.mark.parametrize("limit", ALL, ids=lambda limit: limit.id)
def test_braces_name_values_or_are_code(limit: limits.Limit) -> None:
    """A brace around another word would stay in what the user reads."""
    texts = [limit.title, limit.cause, *limit.do, *limit.not_help]
    for case in limit.cases:
        texts += [case.title or "", case.cause or "", *(case.do or ()), *(case.not_help or ())]
    for text in texts:
        assert set(re.findall(r"\{([a-z_]+)\}", text)) <= limit.values


@pytest.mark.parametrize("limit", ALL, ids=lambda limit: limit.id)
def test_every_row_has_a_test_or_says_why_not(limit: limits.Limit) -> None:
    if limit.test.startswith("none: "):
        return
    path, _, name = limit.test.partition("::")
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_no_test_of_a_limit_is_forgotten() -> None:
    named = {limit.test for limit in ALL}
    for path in (
        "tests/bugs/test_limits_reproduced.py",
        "tests/bugs/test_setup_mistakes_reproduced.py",
        "tests_emulated/test_limits.py",
    ):
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert f"{path}::{node.name}" in named


def test_every_row_has_examples() -> None:
    assert EXAMPLES.keys() == {limit.id for limit in ALL}
    for name, texts in EXAMPLES.items():
        assert len(set(texts["yes"])) >= 2, name
        assert texts["no"], name


@pytest.mark.parametrize("limit", ALL, ids=lambda limit: limit.id)
def test_a_row_recognises_its_examples_and_not_what_looks_alike(limit: limits.Limit) -> None:
    for text in EXAMPLES[limit.id]["yes"]:
        assert list(limit.matches(text)), text
    for text in EXAMPLES[limit.id]["no"]:
        assert not list(limit.matches(text)), text


@pytest.mark.parametrize("limit", ALL, ids=lambda limit: limit.id)
def test_every_pattern_is_shown_by_an_example_or_reads_like_another(limit: limits.Limit) -> None:
    shown = [
        pattern
        for pattern in limit.patterns
        if any(re.search(patterns.expression(pattern), text) for text in EXAMPLES[limit.id]["yes"])
    ]
    assert len(shown) >= min(2, len(limit.patterns))


@pytest.mark.parametrize("limit", ALL, ids=lambda limit: limit.id)
def test_wrapped_lines_and_other_quotes_are_read(limit: limits.Limit) -> None:
    for text in EXAMPLES[limit.id]["yes"][:2]:
        assert list(limit.matches(text.replace(" ", "\n    ")))
        assert list(limit.matches(text.replace("`", "'")))


def test_a_pattern_begins_at_a_word() -> None:
    [limit] = limits.parse(row(patterns=["words of it"]))
    assert list(limit.matches("the words of it"))
    assert not list(limit.matches("passwords of it"))


def test_quotation_marks_may_be_missing_or_others() -> None:
    [limit] = limits.parse(row(patterns=["no module 'torch' here"]))
    for text in ("no module `torch` here", 'no module "torch" here', "no module torch here"):
        assert list(limit.matches(text))


def test_spaces_in_a_set_of_characters_are_any_white_space() -> None:
    assert patterns.expression(r"[a'\]]{2}\'") == r"(?<!\w)(?:[a'\]]{2}\')"
    assert patterns.expression(r"[a ][^\n]") == r"(?<!\w)(?:[a\s][\s\S])"
    assert patterns.expression("a +b *c ?d") == r"(?<!\w)(?:a\s{1,200}b\s{0,200}c\s{0,200}d)"


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        (r"Numpy is not available", "available"),
        (r"libs? loaded", "loaded"),
        (r"(?:long_alternative|other) end", "end"),
        (r"one|another", ""),
        (r"\w{3,30}Error \d{2}", "Error"),
        (r"[abcdefgh\]i] zsh", "zsh"),
    ],
)
def test_the_word_without_which_a_pattern_cannot_match(pattern: str, word: str) -> None:
    assert patterns.required_word(pattern) == word


def test_the_word_of_every_pattern_is_in_its_matches() -> None:
    for limit in ALL:
        for pattern in limit.patterns:
            for text in EXAMPLES[limit.id]["yes"]:
                for match in re.finditer(patterns.expression(pattern), text):
                    assert patterns.required_word(pattern) in match[0]


def test_a_long_text_is_searched_in_parts_without_losing_a_match() -> None:
    filler = "a line of a log\n" * 2_000
    for limit in ALL:
        text = EXAMPLES[limit.id]["yes"][0]
        whole = "".join(f"{filler}{text}\n" for _ in range(3))
        found = {match.start() for match in limit.matches(whole)}
        alone = {match.start() for match in limit.matches(text)}
        assert len(found) == 3 * len(alone) > 0, limit.id


def test_of_a_message_that_is_repeated_many_times_the_last_ones_are_found() -> None:
    [limit] = limits.parse(row(patterns=["some words of it"]))
    text = "some words of it\n" * 20_000
    found = [match.start() for match in limit.matches(text)]
    assert found == [17 * place for place in range(19_999, 19_949, -1)]


def test_words_must_be_near_and_others_must_not() -> None:
    [limit] = limits.parse(row(near=["torch"], unless=["cuda"]))
    assert list(limit.matches("torch says: some words"))
    assert not list(limit.matches("some words"))
    assert not list(limit.matches("torch torchvision with CUDA: some words"))
    assert not list(limit.matches("torch" + " " * limits.NEAR_BEFORE + "some words"))


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({"torch": "2.5.1", "macos": "12.7"}, True),
        ({"torch": "2.5.1"}, None),
        ({"torch": "2.6.0"}, False),
        ({"torch": "2.5.1", "macos": "14.1"}, False),
        ({"torch": "unreadable", "macos": "12.7"}, None),
        ({}, None),
    ],
)
def test_versions_fit_do_not_fit_or_are_unknown(
    installed: dict[str, str], expected: bool | None
) -> None:
    [limit] = limits.parse(row() + '\nwhere = [{ torch = ">=2.5,<2.6", macos = "<13" }]')
    assert limits.fits(limit.where, installed) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (row(titl="a typing error"), "an-id has no field 'titl'"),
        (row(patterns=["("]), "is no pattern"),
        (row(numbers="astrology"), "no calculation 'astrology'"),
        (row() + '\nwhere = [{ torch = "new" }]', "an-id"),
        (row() + '\n[[limit.case]]\ntitle = "x"', "neither `where` nor `when`"),
        (row() + "\n[[limit.case]]\nwhere = []\nfixes = []", "no field 'fixes'"),
    ],
)
def test_data_that_could_not_be_used_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        limits.parse(text)


def test_a_limit_is_found_by_its_id() -> None:
    assert limits.get("mps-float64").id == "mps-float64"
    with pytest.raises(KeyError, match="no limit 'mps-float65'"):
        limits.get("mps-float65")


def test_the_versions_of_macos_are_those_of_the_probe() -> None:
    limit = limits.get("mps-needs-macos")
    for floor in os_floors.load():
        for torch in ("2.0.1", "2.4.1", "2.5.1", "2.6.0", "2.8.0", "2.9.1", "2.14.1", "2.15.0"):
            if not floor.torch.contains(torch):
                continue
            older = str(round(float(floor.needs) - 0.1, 1))
            titles = {
                macos: next(
                    (
                        case.title
                        for case in limit.cases
                        if limits.fits(case.where, {"torch": torch, "macos": macos})
                    ),
                    limit.title,
                )
                for macos in (older, floor.needs)
            }
            assert titles[older] != titles[floor.needs]
            assert ("is new enough" in (titles[floor.needs] or "")) or torch == "2.15.0"
            assert floor.needs in (titles[older] or "")


LINEAR = """
import resource, sys, tomllib
resource.setrlimit(resource.RLIMIT_CPU, (240, 240))
from metalassay.bugs import limits
examples = tomllib.load(open(sys.argv[1], "rb"))
for limit in limits.load():
    for text in examples[limit.id]["yes"][:2]:
        for part in (text[: len(text) * 2 // 3], text.split(":")[0] + " " * 300):
            list(limit.matches((part * (1_000_000 // len(part) + 1))[:1_000_000]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_CPU is of POSIX")
def test_no_pattern_backtracks_on_a_long_run_of_its_beginning() -> None:
    """Quadratic patterns would need hours of processor time; the system then kills the process."""
    path = ROOT / "tests/data/explain/limits_examples.toml"
    ran = subprocess.run(
        [sys.executable, "-c", LINEAR, str(path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
