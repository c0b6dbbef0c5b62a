"""The summary on a CI job's page, and the card: what is red stands first, what is missing is said."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from metalassay import report
from metalassay.cli.main import main
from metalassay.report.model import CompatTable, Report, Table
from metalassay.report.render import card, ci_summary
from metalassay.results import load

DATA = Path(__file__).parents[2] / "data" / "runs"
ATTACK = "<script>alert('x')</script>|`b`*_&\"[x](javascript:y) \u202e \U0001f600 \u5b57 \ufdfd"


def made(*names: str) -> Report:
    return report.build(load.load([DATA / f"constructed_{name}.json" for name in names]))


def everything() -> Report:
    return report.build(load.load([DATA]))


def test_what_is_red_comes_first_with_its_reason() -> None:
    text = ci_summary.render(everything())
    red, counts = text.index("**RED: unexplained**"), text.index("| verdict | cells |")
    assert red < counts < text.index("### Benchmarks")
    assert "it failed where our data calls it healthy" in text.lower()
    assert "Error: E" in text
    assert "accelerate-empty-shard" in text[red:counts]
    assert "| RED: unexplained | 1 |" in text
    assert "| fine | 1 |" in text
    assert "| not tested | 2 |" in text
    assert "2,000 samples/s" in text


def test_a_summary_of_nothing_says_so() -> None:
    text = ci_summary.render(report.build(load.Loaded()))
    assert "No verdict file was read." in text
    assert "No benchmark run was read." in text
    assert "RED" not in text


def test_a_summary_is_cut_at_a_line_and_says_so() -> None:
    long = replace(everything(), headline=tuple(f"line {n} " + "ö" * 60 for n in range(500)))
    whole = ci_summary.render(long)
    for room in (400, 10_000, len(whole.encode()) - 1):
        text = ci_summary.render(long, room)
        assert len(text.encode()) <= room
        assert text.endswith("report.html.\n")
        kept = text[: text.index("\n\n**Cut here:**")]
        assert whole.startswith(f"{kept}\n")
    assert ci_summary.render(long, len(whole.encode())) == whole
    assert ci_summary.render(long, 10) == ""


def test_the_page_of_the_job_gets_it_after_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "summary.md"
    page.write_text("before\n" * 80, "utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    monkeypatch.setattr(ci_summary, "LIMIT", 1000)
    assert main(["report", str(DATA), "-o", str(tmp_path / "out"), "--summary"]) == 0
    text = page.read_text("utf-8")
    assert text.startswith("before\n" * 80 + "## What works here")
    assert len(text.encode()) <= 1000
    assert "Cut here" in text
    assert "## What works here" not in capsys.readouterr().out
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    main(["report", str(DATA), "-o", str(tmp_path / "out"), "--summary"])
    assert "## What works here" in capsys.readouterr().out


def texts(svg: str) -> list[ET.Element]:
    root = ET.fromstring(svg)  # noqa: S314  (our own, without entities)
    assert (root.get("width"), root.get("height")) == ("1200", "630")
    assert {each.tag.rpartition("}")[2] for each in root.iter()} <= {"svg", "rect", "text"}
    return [each for each in root.iter() if each.tag.endswith("text")]


def words(svg: str) -> str:
    return " ".join(each.text or "" for each in texts(svg))


def test_the_card_counts_every_verdict_in_words_and_names_the_speeds() -> None:
    drawn = words(card.render(everything()))
    legend = ("1 RED", "1 fine", "2 not tested", "1 broken as known", "1 broken, patch works")
    labels = {each.text for each in texts(card.render(everything()))}
    assert {*legend, "2 not installable"} <= labels
    assert "samples/s" in drawn
    assert "Apple M4" in drawn
    assert "more in the report" in drawn


def test_a_card_of_nothing_measured_shows_no_number() -> None:
    drawn = words(card.render(report.build(load.Loaded())))
    assert "no result file was read" in drawn
    assert "No verdict file was read." in drawn
    assert "No benchmark run was read." in drawn
    assert not any(character.isdigit() for character in drawn)


def test_no_text_of_a_card_is_markup_or_wider_than_the_card() -> None:
    calm = everything()
    assert isinstance(calm.compat, CompatTable)
    assert isinstance(calm.benchmarks, tuple)
    for text in (ATTACK, "W" * 3000, "\ufdfd" * 300, "word " * 400, ""):
        table = calm.benchmarks[0]
        wild = Table(
            text,
            table.head,
            tuple(tuple(cell + text for cell in row) for row in table.rows),
            table.numeric,
        )
        drawn = card.render(
            replace(calm, headline=(text, text), summary_line=text, benchmarks=(wild,) * 3)
        )
        for each in texts(drawn):
            wide = card.width(each.text or "", float(each.get("font-size", "0")))
            assert float(each.get("x", "0")) + wide <= 1200 - 60
            assert 0 < float(each.get("y", "0")) <= 620


def test_every_colour_of_a_card_keeps_its_word_however_large_the_counts() -> None:
    calm = everything()
    assert isinstance(calm.compat, CompatTable)
    tones = ("red", "fine", "broken", "patched", "untested", "absent", "unreadable")
    cells = tuple(
        replace(calm.compat.rows[0].cells[0], tone=tone) for tone in tones for _ in range(11_111)
    )
    row = replace(calm.compat.rows[0], cells=cells)
    drawn = card.render(replace(calm, compat=replace(calm.compat, rows=(row,))))
    labels = [each for each in texts(drawn) if (each.text or "").startswith("11111 ")]
    assert len(labels) == len(tones)
    assert not any("\N{HORIZONTAL ELLIPSIS}" in (each.text or "") for each in labels)


@pytest.mark.parametrize("length", range(0, 60, 7))
def test_wrapped_text_loses_no_word_but_says_where_it_ends(length: int) -> None:
    text = " ".join(f"word{n}" for n in range(length))
    lines = card.wrapped(text, 20, 300, 4)
    assert len(lines) <= 4
    assert all(card.width(line, 20) <= 300 for line in lines)
    joined = " ".join(lines)
    assert joined == text or text.startswith(joined.removesuffix("\N{HORIZONTAL ELLIPSIS}"))
    assert joined == text or joined.endswith("\N{HORIZONTAL ELLIPSIS}")
