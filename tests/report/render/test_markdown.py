"""The Markdown page: its sections, and that no text from a file is ever markup."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from constructed_report import everything
from constructed_runs import ATTACK, DATA, FIXED, report_of, with_everywhere
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metalassay import report
from metalassay.report.model import Table
from metalassay.report.render import html, markdown
from metalassay.results import load


def outside_fences(page: str) -> str:
    return re.sub(r"^(`{3,})text\n.*?\n\1$", "", page, flags=re.DOTALL | re.MULTILINE)


def outside_code(page: str) -> str:
    """Return Markdown without fenced blocks and code spans, as CommonMark delimits them."""
    return re.sub(r"(?<![\\`])(`+)(?!`).+?(?<!`)\1(?!`)", "", outside_fences(page))


def test_no_text_becomes_markup_in_markdown() -> None:
    page = markdown.render(report_of(with_everywhere))
    text = outside_code(page)
    assert page.count("script") > 100
    assert "<" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    assert not re.search(r"^# x", text, re.MULTILINE)


def test_a_pipe_or_a_line_break_never_makes_a_table_cell() -> None:
    page = outside_fences(markdown.render(report_of(with_everywhere)))
    blocks = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    # versions, three machines, six figures, comparison, conditions; the ledger with its counts, five guides
    assert len(blocks) == 13
    for block in blocks:
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(cells) == 1


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b\nc", r"a\|b c"),
        ("<b>&lt;", "&lt;b>&amp;lt;"),
        ("test_a_b[mps] __init__", r"test_a_b\[mps\] \_\_init\_\_"),
        ("1. one", r"1\. one"),
        ("1.8.0", "1.8.0"),
        ("# x", r"\# x"),
        ("- x", r"\- x"),
        ("> x", r"\> x"),
        ("$a$ ~b~ *c* \\d `e`", r"\$a\$ \~b\~ \*c\* \\d \`e\`"),
    ],
)
def test_markdown_shows_text_as_it_is(text: str, escaped: str) -> None:
    assert markdown.escape(text) == escaped


@settings(deadline=None)
@given(st.text())
def test_escaped_text_is_one_line_without_a_bare_pipe_or_tag(text: str) -> None:
    escaped = markdown.escape(text)
    assert len(escaped.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(?:\\\\)*\|", escaped)
    assert "<" not in escaped


@settings(deadline=None, max_examples=30)
@example("\n```\n<b>\n```\n")
@given(st.text(alphabet="a`\n |<"))
def test_evidence_cannot_leave_its_fence(text: str) -> None:
    (red,) = load.load([DATA / "constructed_compat_red.json"]).compat
    test = replace(red.bugs[0].tests[0], evidence=f"x{text}x")
    built = report.build(load.Loaded((replace(red, bugs=(replace(red.bugs[0], tests=(test,)),)),)))
    assert "<" not in outside_code(markdown.render(built))


TEXT = st.text(st.characters(codec=None), min_size=1)


@settings(deadline=None, max_examples=20)
@given(st.dictionaries(TEXT, TEXT | st.integers() | st.floats() | st.none(), max_size=3), TEXT)
def test_whatever_can_be_loaded_can_be_rendered_and_encoded(
    values: dict[str, object], text: str
) -> None:
    def edited(value: Any, key: str = "") -> Any:
        """Replace every free text, and add odd versions and odd sizes where there may be some."""
        if key == "versions":
            return {"torch": text, "python": text, **values}
        if isinstance(value, dict):
            return {name: edited(member, name) for name, member in value.items()}
        if isinstance(value, list):
            return [edited(member, key) for member in value]
        if key in ("items_per_call", "flop_per_call", "memory_bytes", "batch_size"):
            return next((v for v in values.values() if isinstance(v, int)), value)
        return text if isinstance(value, str) and key not in {*FIXED, "id"} else value

    built = report_of(edited)
    for page in (markdown.render(built), html.render(built), report.terminal_text(built, 60)):
        page.encode()


def test_a_long_reason_is_cut_in_the_table_and_complete_below() -> None:
    reason = "this needs a Mac with Metal and at least sixteen gigabytes of memory to spare"

    def talkative(document: Any) -> Any:
        for bug in document.get("bugs", []):
            if bug["why"]:
                bug["why"] = reason
        return document

    text = markdown.render(report_of(talkative))
    assert "| not tested: this needs a Mac with Metal… |" in text
    assert f"- not tested: {reason}" in text


def test_markdown_has_every_section_in_order_and_plots_as_tables() -> None:
    text = markdown.render(everything())
    assert re.findall("^## (.+)$", text, re.MULTILINE) == [
        "Compatibility",
        "Benchmarks",
        "M4 vs M4 Pro, both invented",
        "Throughput by batch size",
        "Scaling against the roofline",
        "Projected: Apple M4 Max (projected, not measured)",
        "Training runs",
        "Conditions",
        "Warnings",
        "Method and commands",
    ]
    table = text.partition("### How fast does transit-cnn train, by batch size?")[2]
    rows = [re.split(r" *\| *", line)[1:-1] for line in table.splitlines() if line[:1] == "|"]
    assert rows[0] == ["series", "batch size, samples", "samples/s", "interval"]
    assert rows[5] == ["Apple M4 (10-core GPU), invented", "512", "7,880", "7,090 – 8,510"]  # noqa: RUF001
    assert "- Bars: quartiles of the rounds." in table
    assert "No log. Next: run `train`" in text


def test_every_plot_and_row_of_a_projection_is_labelled_in_markdown() -> None:
    text = markdown.render(everything()).partition("## Projected: ")[2].partition("\n## ")[0]
    assert "### How fast would it be? (projected, not measured)" in text
    assert text.count("| M4 Max (projected) ") == 3
    assert text.count("| M4, invented ") == 3


def test_a_marked_cell_is_bold_in_markdown_with_an_explanation() -> None:
    text = markdown.render(everything())
    row = next(line for line in text.splitlines() if line.startswith("| power mode"))
    assert [cell.strip() for cell in row.split("|")[2:4]] == ["**low**", "**automatic**"]
    assert "- Bold: values that differ and should not." in text


def test_no_text_of_any_part_becomes_markup() -> None:
    text = outside_code(markdown.render(everything(ATTACK)))
    assert "<" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    assert not re.search(r"^# x", text, re.MULTILINE)
    for block in re.findall(r"(?:^\|.*\n)+", outside_fences(text), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_a_missing_figure_has_its_command_as_code_within_its_cell() -> None:
    table = Table(
        "x",
        ("", "M4"),
        (("power, W", "not measured"),),
        (False, True),
        commands={(0, 1): "pip install '.[a_b]' | tail"},
    )
    line = markdown.table_text(table).splitlines()[-1]
    assert line == "| power, W | not measured: `pip install '.[a_b]' \\| tail` |"


def test_a_rehearsal_comes_before_everything_else() -> None:
    page = markdown.render(replace(everything(), rehearsal="REHEARSAL: <b>"))
    assert page.startswith("# What works here, and how fast\n\n> **REHEARSAL: &lt;b>**\n\n")
