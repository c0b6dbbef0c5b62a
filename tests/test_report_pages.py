"""The two pages: what came from a file is never markup, and a page is written whole or not at all."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import constructed_report
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metalassay import report, runs
from metalassay.errors import UserError
from metalassay.fields import FieldError
from metalassay.records import LargestBatch, Measurement, VersionSet, parse
from metalassay.report import html, markdown

DATA = Path(__file__).parent / "data" / "runs"
FILES = sorted(DATA.glob("constructed_*.json"))
ATTACK = "<script>alert('x')</script>|a`b``c```*_\"&amp;[x](javascript:y)\n# x\n|y"

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


def report_of(edit: Callable[[Any], Any]) -> report.Report:
    sets: list[VersionSet] = []
    measurements: list[Measurement] = []
    batches: list[LargestBatch] = []
    warnings: list[str] = []
    for path in FILES:
        document = edit(json.loads(path.read_text("utf-8")))
        try:
            found = parse(json.dumps(document).encode(), path.name + ATTACK)
        except FieldError as error:
            warnings.append(f"{path.name}: {error}")
            continue
        if isinstance(found, VersionSet):
            sets.append(found)
        elif isinstance(found, LargestBatch):
            batches.append(found)
        else:
            measurements.extend(found)
    read = runs.Loaded(
        tuple(sets), tuple(measurements), (*warnings, ATTACK), batches=tuple(batches)
    )
    return report.build(read)


class Tags(HTMLParser):
    """Collects the elements of a page and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.found


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


def test_the_page_fetches_nothing_and_says_what_it_is() -> None:
    page = html.render(report_of(lambda document: document))
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert "<title>metalassay report</title>" in page
    assert {tag for tag, _ in elements(page)} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
    } == set()
    assert "src" not in {name for _, attributes in elements(page) for name in attributes}
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_every_cell_opens_and_red_shows_its_evidence_in_both_pages() -> None:
    made = report_of(lambda document: document)
    page = html.render(made)
    tags = [tag for tag, _ in elements(page)]
    cells = list(itertools.pairwise(tags)).count(("td", "details"))
    # Two bugs, four sets; one, not installable, has one cell for both, one was not asked for a bug.
    assert cells == 6
    evidence = "UnboundLocalError: cannot access local variable"
    assert evidence in page
    text = markdown.render(made)
    red = text.partition("### RED: unexplained: accelerate-empty-shard with accelerate-1.9.0")[2]
    assert evidence in red.partition("### ")[0]
    assert "`pytest compat --verdicts reports/compat/accelerate-1.9.0.json`" in red


def test_a_long_reason_is_cut_in_the_table_and_stands_in_full_below() -> None:
    reason = "this needs a Mac with Metal and at least sixteen gigabytes of memory to spare"

    def talkative(document: Any) -> Any:
        for bug in document.get("bugs", []):
            if bug["why"]:
                bug["why"] = reason
        return document

    text = markdown.render(report_of(talkative))
    assert "| not tested: this needs a Mac with Metal… |" in text
    assert f"- not tested: {reason}" in text


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


@settings(deadline=None)
@example("\n```\n<b>\n```\n")
@given(st.text(alphabet="a`\n |<"))
def test_evidence_cannot_leave_its_fence(text: str) -> None:
    (red,) = runs.load([DATA / "constructed_compat_red.json"]).compat
    test = replace(red.bugs[0].tests[0], evidence=f"x{text}x")
    made = report.build(runs.Loaded((replace(red, bugs=(replace(red.bugs[0], tests=(test,)),)),)))
    assert "<" not in outside_code(markdown.render(made))


def test_the_results_of_a_cpu_never_speak_of_mps() -> None:
    made = report.build(runs.load([DATA / "constructed_benchmarks_linux.json"]))
    # What guides claim of a Mac is no result of this machine.
    made = replace(made, sections=tuple(each for each in made.sections if each.id != "ledger"))
    for text in (markdown.render(made), html.render(made), report.terminal_text(made, 100)):
        assert "transit-cnn" in text
        assert "mps" not in text.lower()


TEXT = st.text(st.characters(codec=None), min_size=1)


@settings(deadline=None, max_examples=50)
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


def test_both_pages_are_written_with_plain_line_ends(tmp_path: Path) -> None:
    made = report_of(lambda document: document)
    paths = report.write_report(made, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["report.md", "report.html"]
    assert paths[0].read_text("utf-8") == markdown.render(made)
    assert paths[1].read_text("utf-8") == html.render(made)
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["report.html", "report.md"]


def test_a_folder_that_cannot_be_written_to_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to .*name another folder with --output"):
        report.write_report(report.build(runs.Loaded()), tmp_path / "file")


@pytest.mark.parametrize("package", ["jinja2", "tabulate"])
def test_a_missing_package_is_named_before_anything_is_written(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = report_of(lambda document: document)
    monkeypatch.setitem(sys.modules, package, None)  # makes the import fail
    with pytest.raises(UserError, match=rf"needs {package} \(pip install 'metalassay\[report\]'\)"):
        report.write_report(made, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_importing_the_report_imports_neither_the_renderers_nor_torch() -> None:
    code = "import sys, metalassay.report; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"jinja2", "tabulate", "torch", "accelerate", "transformers", "pytest"}
    assert heavy & set(modules) == set()


def everything(add: str = "") -> report.Report:
    made: report.Report = constructed_report.everything(add)
    return made


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


def test_markdown_has_every_part_in_order_and_a_plot_as_a_table() -> None:
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
    assert "- Bars: the quartiles of the rounds." in table
    assert "No log. To make one: `train`" in text


def test_markdown_says_projected_at_each_plot_and_row_of_a_projection() -> None:
    text = markdown.render(everything()).partition("## Projected: ")[2].partition("\n## ")[0]
    assert "### How fast would it be? (projected, not measured)" in text
    assert text.count("| M4 Max (projected) ") == 3
    assert text.count("| M4, invented ") == 3


def test_a_marked_cell_is_bold_in_markdown_and_the_page_says_why() -> None:
    text = markdown.render(everything())
    row = next(line for line in text.splitlines() if line.startswith("| power mode"))
    assert [cell.strip() for cell in row.split("|")[2:4]] == ["**low power**", "**automatic**"]
    assert "- Bold: it differs where it should not." in text


def test_the_headline_comes_first_in_both_pages() -> None:
    sentence = "The second machine trains 1.9 times as fast as the first."
    text, page = markdown.render(everything()), html.render(everything())
    assert text.index(f"**{sentence}**") < text.index("## Compatibility")
    assert page.index(f'<p class="headline">{sentence}</p>') < page.index('<h2 id="compatibility">')
