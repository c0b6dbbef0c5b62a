"""The card for link previews: every count with its word, no text wider than the card, no markup."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import constructed_origin
from constructed_runs import DATA, build, measured
from hand_made import BASE, LINUX, M4_PRO, find_chip, largest, measurement, on_pro

from metalassay import report
from metalassay.report.model import CompatTable, Report, Table
from metalassay.report.render import card, text_width
from metalassay.results import load
from metalassay.results.measurement import Measurement

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


def test_a_card_of_one_machine_lists_its_speeds() -> None:
    built = build(measurements=measured("m4") + faster("m4"))
    drawn = words(card.render(built))
    # The headline names the machine, and without verdicts there is room for every speed.
    assert "transit-cnn, training, mps, batch 64 1,000 samples/s" in drawn
    assert "more in the report" not in drawn
    assert "Known bugs" not in drawn
    beside = words(card.render(replace(built, compat=everything().compat)))
    assert "and 2 more in the report" in beside
    assert "Known bugs" in beside
    assert "what PyTorch does on this machine" in drawn


def faster(name: str) -> list[Measurement]:
    return [replace(one, batch_size=2 * one.batch_size) for one in measured(name)]


def test_a_card_of_two_machines_has_six_figures_and_ratios_with_their_marks() -> None:
    newer = replace(M4_PRO, release="macOS 26.1")
    pair = (
        replace(BASE, seconds=(0.064,) * 5, processes=5),
        on_pro(machine=newer, seconds=(0.032,) * 5, processes=5),
    )
    built = report.build(load.Loaded((), pair, (), batches=(largest(),)), find_chip)
    drawn = [each.text for each in texts(card.render(built))]
    assert built.key_figures is not None
    assert {row[0] for row in built.key_figures.rows} <= set(drawn)
    assert "2.00x [2.00, 2.00]" in drawn
    assert "(macOS 15.1 / 26.1)" in drawn
    assert "7,000 (7,300 did not fit)" in drawn
    assert drawn.count("not measured") == 9  # and no command, which a picture does not run
    assert "transit-cnn, float32, mps" in drawn
    assert "Apple M4 Pro / Apple M4" in drawn


def test_a_card_of_three_machines_shows_two_and_counts_the_third() -> None:
    built = report.build(
        load.Loaded((), (BASE, on_pro(), measurement(machine=LINUX, device="cpu")), ())
    )
    drawn = words(card.render(built))
    assert "and 1 more machine in the report" in drawn
    assert "Apple M4 Pro / Apple M4" in drawn
    assert "AMD EPYC / Apple M4" not in drawn


def test_a_card_of_a_rehearsal_says_so_in_a_band_and_in_its_label() -> None:
    pair = tuple(replace(one, emulated=True) for one in (BASE, on_pro()))
    svg = card.render(report.build(load.Loaded((), pair, ()), find_chip))
    assert "REHEARSAL: the device was emulated in every benchmark run here." in {
        each.text for each in texts(svg)
    }
    assert 'aria-label="metalassay: REHEARSAL: ' in svg
    assert "none: rehearsal" in words(svg)
    assert "00x" not in svg


def test_a_card_of_doubtful_figures_says_why_and_a_clean_one_nothing() -> None:
    calm = tuple(replace(one, flags=(), seconds=(0.064,) * 6) for one in (BASE, on_pro()))
    clean = card.render(report.build(load.Loaded((), calm, ()), find_chip))
    assert "doubtful" not in clean.lower()
    drifted = "drifted: the last third of the rounds took +485% compared with the first third"
    flags = ("busy: a load of 9.0 on 2 processors", drifted)
    uneven = replace(calm[0], flags=flags, seconds=(0.01, 0.01, 0.02, 0.03, 0.03, 0.03))
    pair = (uneven, replace(calm[1], flags=flags))
    svg = card.render(report.build(load.Loaded((), pair, ()), find_chip))
    mark = "Doubtful: busy; 2 figures drifted; 1 figure unsteady"
    assert f"{mark}." in {each.text for each in texts(svg)}
    assert f'aria-label="metalassay: {mark}. ' in svg


def test_a_mark_of_doubt_stands_beside_a_rehearsal_in_part_and_not_in_a_whole_one() -> None:
    busy = replace(BASE, flags=("busy: by others",))
    one = replace(on_pro(), emulated=True)
    svg = card.render(report.build(load.Loaded((), (busy, one), ()), find_chip))
    assert "the device was emulated. Doubtful: busy." in words(svg)
    whole = (replace(busy, emulated=True), one)
    assert "Doubtful" not in card.render(report.build(load.Loaded((), whole, ()), find_chip))


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
        figures = Table(
            text,
            tuple(name + text for name in ("", "a", "b", "b / a")),
            tuple(tuple(cell + text for cell in ("x", "1", "2", "2.00x (")) for _ in range(6)),
            (False, True, True, True),
        )
        for key_figures in (None, figures):
            drawn = card.render(
                replace(
                    calm,
                    headline=(text, text),
                    summary_line=text,
                    benchmarks=(wild,) * 3,
                    key_figures=key_figures,
                    rehearsal=text if key_figures else "",
                    doubt=text,
                )
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
