"""README.zh-CN.md says what README.md says: the same commands, code and links, and its example is real."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from metalassay.cli.main import main

ROOT = Path(__file__).parents[2]
ENGLISH = (ROOT / "README.md").read_text("utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text("utf-8")
EXAMPLE = "metalassay explain --lang zh"


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> set[str]:
    lines = "".join(blocks(text, "console")).splitlines()
    return {line.partition("  #")[0].strip() for line in lines}


def test_every_command_is_one_of_the_english_readme() -> None:
    there = commands(ENGLISH)
    own = {line for line in commands(CHINESE) if not line.startswith("$")}
    example = next(block for block in blocks(CHINESE, "console") if EXAMPLE in block)
    own -= {line.partition("  #")[0].strip() for line in example.splitlines()}
    assert own - there == set()


def test_the_code_is_that_of_the_english_readme() -> None:
    assert set(blocks(CHINESE, "python")) == set(blocks(ENGLISH, "python"))


def test_every_link_leads_to_a_file_and_every_section_has_its_counterpart() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", CHINESE):
        assert (ROOT / target).exists(), target
    assert CHINESE.count("\n## ") == ENGLISH.count("\n## ")
    headings = {re.sub(r"\s", "-", each.lower()) for each in re.findall(r"\n##+ (.+)", CHINESE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", CHINESE)) <= headings


def test_both_point_at_each_other() -> None:
    assert "(README.zh-CN.md)" in ENGLISH
    assert "(README.md)" in CHINESE


def test_the_example_is_what_the_command_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    example = next(block for block in blocks(CHINESE, "console") if EXAMPLE in block)
    command, shown = re.fullmatch(r"\$ metalassay (.*?[^\\])\n(.*)", example, re.DOTALL).groups()  # type: ignore[union-attr]
    main(shlex.split(command.replace("\\\n", " ")))
    assert capsys.readouterr().out.startswith(shown)
