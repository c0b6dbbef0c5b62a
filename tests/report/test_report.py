"""Complete tables of a report, from the constructed runs in data/runs."""

from __future__ import annotations

import re
from dataclasses import replace

from constructed_runs import build, measured

from metalassay import report
from metalassay.report.render import card, ci_summary, html, markdown


def test_the_benchmark_table_names_its_machine_and_labels_upper_bounds() -> None:
    built = build(measurements=measured("m4"))
    assert (
        markdown.benchmark_table(built)
        == """\
Apple M4 (10-core GPU, 16 GB), macOS 15.1

| workload    | mode      |   batch | dtype   | device   |   threads | torch   |   median items/s |       quartiles |   rounds |   GFLOP/s |   GB/s at most |
|:------------|:----------|--------:|:--------|:---------|----------:|:--------|-----------------:|----------------:|---------:|----------:|---------------:|
| transit-cnn | training  |      64 | float32 | mps      |         4 | 2.13.0  |  1,000 samples/s |     952 \N{EN DASH} 1,050 |        5 |      67.2 |      7.64 (6%) |
| transit-cnn | inference |      64 | float32 | mps      |         4 | 2.13.0  |  4,000 samples/s |   3,810 \N{EN DASH} 4,210 |        5 |      90.8 |     12.5 (10%) |
| gpt-tiny    | training  |       8 | float32 | mps      |         4 | 2.13.0  |  51,200 tokens/s | 48,800 \N{EN DASH} 53,900 |        5 |      12.0 |      9.00 (8%) |"""
    )
    assert built.summary_line == "3 measurements of 1 machine."


def test_two_machines_are_compared_in_the_usual_rows_with_the_m4_first() -> None:
    built = build(measurements=[*measured("m4_pro"), *measured("m4")])
    page = markdown.render(built)
    table = page.partition("## Apple M4 vs Apple M4 Pro\n\n")[2].partition("\n\n")[0]
    assert (
        table
        == """\
|                                                                              |   Apple M4 (10-core GPU, 16 GB) |   Apple M4 Pro (20-core GPU, 24 GB) |   Apple M4 Pro / Apple M4 |
|:-----------------------------------------------------------------------------|--------------------------------:|------------------------------------:|--------------------------:|
| transit-cnn training, samples/s, batch 64 (float32, mps)                     |             1,000 (952 \N{EN DASH} 1,050) |               2,000 (1,900 \N{EN DASH} 2,110) |                     2.00x |
| transit-cnn inference, samples/s, batch 64 (float32, mps)                    |           4,000 (3,810 \N{EN DASH} 4,210) |               6,400 (6,100 \N{EN DASH} 6,740) |                     1.60x |
| gpt-tiny training, tokens/s, batch 8 (float32, mps)                          |        51,200 (48,800 \N{EN DASH} 53,900) |                        not measured |                         \N{EN DASH} |
| gpt-tiny inference, tokens/s                                                 |                    not measured |                        not measured |                         \N{EN DASH} |
| gpt-small training, tokens/s                                                 |                    not measured |                        not measured |                         \N{EN DASH} |
| gpt-small inference, tokens/s                                                |                    not measured |                        not measured |                         \N{EN DASH} |
| gpt-original training, tokens/s                                              |                    not measured |                        not measured |                         \N{EN DASH} |
| gpt-original inference, tokens/s                                             |                    not measured |                        not measured |                         \N{EN DASH} |
| maximum batch size                                                           |                    not measured |                        not measured |                         \N{EN DASH} |
| memory bandwidth utilisation, transit-cnn training, batch 64 (float32, mps)  |          at most 6% of 120 GB/s |              at most 6% of 273 GB/s |                         \N{EN DASH} |
| memory bandwidth utilisation, transit-cnn inference, batch 64 (float32, mps) |         at most 10% of 120 GB/s |              at most 7% of 273 GB/s |                         \N{EN DASH} |
| memory bandwidth utilisation, gpt-tiny training, batch 8 (float32, mps)      |          at most 8% of 120 GB/s |                        not measured |                         \N{EN DASH} |
| power, W                                                                     |                    not measured |                        not measured |                         \N{EN DASH} |
| samples/s per watt                                                           |                    not measured |                        not measured |                         \N{EN DASH} |"""
    )
    assert "no confidence interval can be computed" in page


def test_without_a_file_the_report_says_so_and_how_to_make_one() -> None:
    built = build()
    assert built.summary_line == "Nothing has been measured yet: no result file was read."
    assert (
        report.terminal_text(built, 80)
        == """\
No verdict file was read. Next: run `nox -s compat`

No benchmark run was read. Next: run `nox -s bench`

Nothing has been measured yet: no result file was read."""
    )


def test_a_report_with_an_emulated_device_says_so_at_the_top() -> None:
    real = measured("m4_pro")
    emulated = [replace(one, emulated=True) for one in measured("m4")]
    assert build(measurements=real).rehearsal == ""
    assert build(measurements=emulated).rehearsal == (
        "REHEARSAL: the device was emulated in every benchmark run here. Nothing was measured on the machines "
        "that are named, and no speed, ratio or largest batch is shown."
    )
    part = build(measurements=[*real, *emulated])
    assert part.rehearsal.startswith(
        "REHEARSAL in part: in 3 of 5 results the device was emulated."
    )


def test_no_page_of_a_rehearsal_has_a_speed_a_ratio_or_an_unmarked_machine() -> None:
    pages = rehearsed_pages()
    assert len(pages) == 5
    for name, page in pages.items():
        assert "REHEARSAL: the device was emulated" in page, name
        # 1,000 and 4,000 samples/s are 2,000 and 6,400 on the other machine, 2.00x and 1.60x
        for figure in ("1,000", "4,000", "2,000", "6,400", "2.00x", "1.60x", "2.1x"):
            assert figure not in page, (name, figure)
        for machine in ("10-core GPU, 16 GB)", "20-core GPU, 24 GB)"):
            unmarked = re.findall(re.escape(machine) + r"(?!, rehearsal)", without_conditions(page))
            assert unmarked == [], (name, machine)


def rehearsed_pages() -> dict[str, str]:
    """Return every page of a report of an M4 and an M4 Pro that were both emulated, by its name."""
    both = [replace(one, emulated=True) for name in ("m4", "m4_pro") for one in measured(name)]
    built = build(measurements=both)
    # What guides claim of a Mac is no result of these machines.
    built = replace(built, sections=tuple(one for one in built.sections if one.id != "ledger"))
    return {
        "markdown": markdown.render(built),
        "html": html.render(built),
        "terminal": report.terminal_text(built, 300),
        "card": card.render(built),
        "summary": ci_summary.render(built),
    }


def without_conditions(page: str) -> str:
    """Return a page without its table of conditions, whose column of devices has the mark."""
    start = re.search(r'^## Conditions|<h2 id="conditions">', page, re.MULTILINE)
    return page[: start.start()] if start else page
