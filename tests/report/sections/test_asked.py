"""The section of a user's own models: the newest answers of each, escaped, wrong ones marked, and a roofline."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hand_made import LINUX, M4

from metalassay.cli.main import main
from metalassay.report.sections import asked
from metalassay.results import ask_file
from metalassay.results.ask_file import Asked, Stand

ONE = Asked(
    machine=M4, versions={"torch": "2.13.0"}, model="my.py", device="mps", emulated=False, parameters=1234,
    batch_size=8, answers=(("numbers", ("WRONG: gelu", "shown by")), ("batch", ("64 on mps",))), right=False,
    stand=Stand(4.0, 12.0, 120.0, 12.0), file="x.json", when=datetime(2026, 11, 29, tzinfo=UTC),
)  # fmt: skip


def test_a_table_has_each_question_once() -> None:
    section = asked.section([ONE])
    assert section is not None
    (table,) = section.tables
    assert table.rows == (
        ("Right or wrong", "WRONG: gelu"),
        ("", "shown by"),
        ("Largest batch", "64 on mps"),
    )
    assert table.marked == {(0, 1)}
    assert table.caption.startswith("my.py on mps, ")
    assert "1,234 parameters, batch 8, torch 2.13.0, 2026-11-29" in table.caption


def test_a_step_stands_below_the_peak_that_was_measured() -> None:
    section = asked.section([ONE, dataclasses.replace(ONE, model="other.py", stand=None)])
    assert section is not None
    (plot,) = section.plots
    (roofline,) = plot.rooflines
    (point,) = plot.series[0].points
    assert (roofline.gflop_s, roofline.gb_s, roofline.name) == (120.0, 12.0, "measured peaks")
    assert (point.x, point.y) == (4.0, 12.0)
    assert "12.0 GFLOP/s, 25.00% of its roofline" in point.label  # 4 FLOP/byte at 12 GB/s: 48


def test_the_newest_answers_of_a_model_on_a_device_count() -> None:
    older = dataclasses.replace(
        ONE, when=datetime(2026, 11, 1, tzinfo=UTC), answers=(("batch", ("32 on mps",)),)
    )
    cpu = dataclasses.replace(ONE, device="cpu", right=None)
    elsewhere = dataclasses.replace(ONE, machine=LINUX, device="cpu", right=None)
    shown = asked.newest([older, ONE, cpu, elsewhere])
    assert ONE in shown
    assert older not in shown
    assert len(shown) == 3
    assert (
        asked.summary([older, ONE])
        == "1 model of the user's (my.py on mps); 1 of them computed wrongly"
    )
    assert asked.summary([ONE, cpu, elsewhere]).startswith("3 models of the user's (my.py on ")
    assert asked.summary([]) == ""
    assert asked.section([]) is None


def test_the_command_puts_it_on_every_page_and_on_the_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = ask_file.document(
        model="<b>my</b>.py", started=ONE.when, versions=ONE.versions, machine=M4,
        about={"device": "mps", "batch_size": 8, "parameters": 3, "emulated": {"mps": False}},
    )  # fmt: skip
    made["numbers"] = {"right": False, "text": ["WRONG: <script>alert(1)</script> | gelu"]}
    made["roofline"] = {**dataclasses.asdict(Stand(4.0, 12.0, 120.0, 12.0)), "text": ["so a step"]}
    path, card = tmp_path / "ask.json", tmp_path / "card.svg"
    path.write_text(json.dumps(made), "utf-8")
    assert main(["report", str(path), "-o", str(tmp_path / "rep"), "--card", str(card)]) == 0
    out = capsys.readouterr().out
    assert "WRONG: <script>alert(1)</script>" in out
    page = (tmp_path / "rep/report.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "How close does &lt;b&gt;my&lt;/b&gt;.py come to its roofline on mps" in page
    assert "Your own models" in (tmp_path / "rep/report.md").read_text("utf-8")
    drawn = card.read_text("utf-8")
    assert "1 model of the user" in drawn
    assert "computed wrongly" in drawn
    assert "<b>" not in drawn
