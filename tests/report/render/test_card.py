"""The card for link previews: every count with its word, no text wider than the card, no markup."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import constructed_origin
from constructed_runs import DATA

from metalassay import report
from metalassay.report.model import CompatTable, Report, Table
from metalassay.report.render import card, text_width
from metalassay.results import load

ATTACK = "<script>alert('x')</script>|`b`*_&\"[x](javascript:y) \u202e \U0001f600 \u5b57 \ufdfd"


def everything() -> Report:
    return report.build(load.load([DATA]))


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


def test_the_card_counts_no_cell_in_which_there_is_nothing_to_report(tmp_path: Path) -> None:
    built, table = constructed_origin.written(tmp_path, constructed_origin.documents())
    svg = card.render(built)
    assert {"2 RED", "6 not finished", "30 not tested"} <= {each.text for each in texts(svg)}
    clear = table.counts()["clear"]
    assert clear == 8
    assert f"5 bugs in 11 version sets, {6 * 11 - clear} cells" in words(svg)


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
            wide = text_width.width(each.text or "", float(each.get("font-size", "0")))
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
