"""The two pages: what stands in them, in which order, and that both are written or neither."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from constructed_report import everything
from constructed_runs import DATA, report_of
from page_elements import elements

from metalassay import report
from metalassay.errors import UserError
from metalassay.report.render import html, markdown
from metalassay.results import load


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


def test_the_results_of_a_cpu_never_speak_of_mps() -> None:
    made = report.build(load.load([DATA / "constructed_benchmarks_linux.json"]))
    # What guides claim of a Mac is no result of this machine.
    made = replace(made, sections=tuple(each for each in made.sections if each.id != "ledger"))
    for text in (markdown.render(made), html.render(made), report.terminal_text(made, 100)):
        assert "transit-cnn" in text
        assert "mps" not in text.lower()


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
        report.write_report(report.build(load.Loaded()), tmp_path / "file")


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
    assert "- Bars: quartiles of the rounds." in table
    assert "No log. To make one, run `train`" in text


def test_markdown_says_projected_at_each_plot_and_row_of_a_projection() -> None:
    text = markdown.render(everything()).partition("## Projected: ")[2].partition("\n## ")[0]
    assert "### How fast would it be? (projected, not measured)" in text
    assert text.count("| M4 Max (projected) ") == 3
    assert text.count("| M4, invented ") == 3


def test_a_marked_cell_is_bold_in_markdown_and_the_page_says_why() -> None:
    text = markdown.render(everything())
    row = next(line for line in text.splitlines() if line.startswith("| power mode"))
    assert [cell.strip() for cell in row.split("|")[2:4]] == ["**low power**", "**automatic**"]
    assert "- Bold: values that differ and should not." in text


def test_the_headline_comes_first_in_both_pages() -> None:
    sentence = "The second machine trains 1.9 times as fast as the first."
    text, page = markdown.render(everything()), html.render(everything())
    assert text.index(f"**{sentence}**") < text.index("## Compatibility")
    assert page.index(f'<p class="headline">{sentence}</p>') < page.index('<h2 id="compatibility">')
