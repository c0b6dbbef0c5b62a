"""What came from a file is never markup, neither in HTML nor in Markdown."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from constructed_report import everything
from constructed_runs import ATTACK, DATA, report_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from page_elements import elements

from metalassay import report
from metalassay.report.render import html, markdown
from metalassay.results import load

# Words that the reader holds against a list, or reads as a time; anything else is free text.
FIXED = {"schema", "verdict", "outcome", "upstream", "mode", "device", "dtype", "unit", "system"}
FIXED |= {"started", "datetime"}


def attacked(value: Any, key: str = "") -> Any:
    """Return a document with ``ATTACK`` at the end of every free text."""
    if isinstance(value, dict):
        return {name: attacked(member, name) for name, member in value.items()}
    if isinstance(value, list):
        return [attacked(member, key) for member in value]
    return value + ATTACK if isinstance(value, str) and key not in FIXED else value


def test_no_text_becomes_markup_in_html() -> None:
    calm, page = html.render(report_of(lambda document: document)), html.render(report_of(attacked))
    assert page.count("&lt;script&gt;") > 100
    assert "script" not in {tag for tag, _ in elements(page)}
    attributes = {name for _, attributes in elements(page) for name in attributes}
    assert attributes == {name for _, attributes in elements(calm) for name in attributes}


def outside_fences(page: str) -> str:
    return re.sub(r"^(`{3,})text\n.*?\n\1$", "", page, flags=re.DOTALL | re.MULTILINE)


def outside_code(page: str) -> str:
    """Return Markdown without fenced blocks and code spans, as CommonMark delimits them."""
    return re.sub(r"(?<![\\`])(`+)(?!`).+?(?<!`)\1(?!`)", "", outside_fences(page))


def test_no_text_becomes_markup_in_markdown() -> None:
    page = markdown.render(report_of(attacked))
    text = outside_code(page)
    assert page.count("script") > 100
    assert "<" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    assert not re.search(r"^# x", text, re.MULTILINE)


def test_a_pipe_or_a_line_break_never_makes_a_table_cell() -> None:
    page = outside_fences(markdown.render(report_of(attacked)))
    blocks = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    # versions, three machines, comparison, conditions; the ledger with its counts and five guides
    assert len(blocks) == 12
    for block in blocks:
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(cells) == 1


def test_a_link_leads_to_the_web_or_is_none() -> None:
    def linked(document: Any) -> Any:
        for bug in document.get("bugs", []):
            bug["link"] = "javascript:evil()"
        return document

    made = report_of(linked)
    hrefs = [
        attributes.get("href") for tag, attributes in elements(html.render(made)) if tag == "a"
    ]
    assert hrefs
    assert all(href is not None and href.startswith("#") for href in hrefs)
    assert "javascript:evil" not in markdown.render(made)


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
    made = report.build(load.Loaded((replace(red, bugs=(replace(red.bugs[0], tests=(test,)),)),)))
    assert "<" not in outside_code(markdown.render(made))


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

    made = report_of(edited)
    for page in (markdown.render(made), html.render(made), report.terminal_text(made, 60)):
        page.encode()


def test_no_text_of_any_part_becomes_markup() -> None:
    calm, page = html.render(everything()), html.render(everything(ATTACK))
    assert page.count("&lt;script&gt;") > 100
    assert "script" not in {tag for tag, _ in elements(page)}
    attributes = {name for _, attributes in elements(page) for name in attributes}
    assert attributes == {name for _, attributes in elements(calm) for name in attributes}
    text = outside_code(markdown.render(everything(ATTACK)))
    assert "<" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    assert not re.search(r"^# x", text, re.MULTILINE)
    for block in re.findall(r"(?:^\|.*\n)+", outside_fences(text), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
