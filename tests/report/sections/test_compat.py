"""The compatibility table: bugs down, version sets across, and what a cell says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from constructed_runs import build, loaded

from metalassay.machine.hardware import Hardware
from metalassay.report.model import Hint
from metalassay.report.render import markdown


def test_the_compatibility_table_has_bugs_down_and_version_sets_across() -> None:
    built = build(
        loaded("compat_fine", "compat_patched", "compat_red", "compat_not_installable").compat
    )
    assert (
        markdown.compat_table(built)
        == """\
Known bugs by version set, on Apple M4 (10-core GPU, 16 GB) and AMD EPYC 9B14 (8 GB, virtual machine)

|                        | accelerate-1.8.0                      | accelerate-1.9.0              | accelerate-1.10.0                     | guide                                 |
|:-----------------------|:--------------------------------------|:------------------------------|:--------------------------------------|:--------------------------------------|
| accelerate             | 1.8.0                                 | 1.9.0                         | 1.10.0                                | wanted ==1.1.1                        |
| torch                  | 2.13.0+cpu                            | 2.13.0                        | 2.13.0+cpu                            | wanted ==2.13.0                       |
| transformers           | 4.52.4                                | 4.52.4                        | 4.52.4                                | wanted ==4.52.4                       |
| python                 | 3.11.7                                | 3.11.7                        | 3.11.7                                | 3.11.7                                |
| platform               | Linux x86_64                          | macOS arm64                   | Linux x86_64                          | Linux x86_64                          |
| machine                | AMD EPYC 9B14 (8 GB, virtual machine) | Apple M4 (10-core GPU, 16 GB) | AMD EPYC 9B14 (8 GB, virtual machine) | AMD EPYC 9B14 (8 GB, virtual machine) |
| accelerate-empty-shard | broken, patch works                   | RED: unexplained              | fine                                  | not installable                       |
| accelerate-mps-oom     | not tested: needs a Mac with Metal    | not tested: not in this run   | broken                                | not installable                       |"""
    )
    assert built.summary_line == (
        "4 version sets, 2 known bugs: 1 RED, 1 fine, 2 broken as known (a patch fixes 1), "
        "2 not tested, 1 set not installable."
    )


def test_a_single_machine_is_named_once_and_sets_that_do_not_fit_get_a_further_table() -> None:
    built = build(loaded("compat_fine", "compat_patched").compat)
    assert (
        markdown.compat_table(built, width=64)
        == """\
Known bugs by version set, on AMD EPYC 9B14 (8 GB, virtual machine)

|                        | accelerate-1.8.0                   |
|:-----------------------|:-----------------------------------|
| accelerate             | 1.8.0                              |
| torch                  | 2.13.0+cpu                         |
| transformers           | 4.52.4                             |
| python                 | 3.11.7                             |
| platform               | Linux x86_64                       |
| accelerate-empty-shard | broken, patch works                |
| accelerate-mps-oom     | not tested: needs a Mac with Metal |

|                        | accelerate-1.10.0   |
|:-----------------------|:--------------------|
| accelerate             | 1.10.0              |
| torch                  | 2.13.0+cpu          |
| transformers           | 4.52.4              |
| python                 | 3.11.7              |
| platform               | Linux x86_64        |
| accelerate-empty-shard | fine                |
| accelerate-mps-oom     | broken              |"""
    )


def test_a_set_that_contradicts_itself_is_shown_as_unreadable() -> None:
    (fine,) = loaded("compat_fine").compat
    built = build([replace(fine, distrusted="x is called fine")], warnings=["x.json: …"])
    assert not isinstance(built.compat, Hint)
    assert {cell.text for each in built.compat.rows for cell in each.cells} == {"unreadable"}
    assert "x is called fine" in built.compat.notes[0]
    assert built.summary_line == (
        "1 version set, 2 known bugs: 0 RED, 0 fine, 1 set unreadable; 1 warning."
    )


@pytest.mark.parametrize("word", ["patch fails", "fixed upstream?", "unexplained"])
def test_the_kind_of_a_red_verdict_is_spelled_out(word: str) -> None:
    (fine,) = loaded("compat_fine").compat
    bugs = tuple(replace(bug, verdict=word) for bug in fine.bugs)
    built = build([replace(fine, bugs=bugs)])
    assert not isinstance(built.compat, Hint)
    assert {(c.text, c.tone) for r in built.compat.rows for c in r.cells} == {
        (f"RED: {word}", "red")
    }


def test_a_set_that_could_not_be_installed_does_not_count_as_a_machine() -> None:
    (impossible,) = loaded("compat_not_installable").compat
    elsewhere = replace(impossible, hardware=Hardware("Linux", "6.1", "aarch64", *[None] * 10))
    beside = markdown.compat_table(build([*loaded("compat_fine").compat, elsewhere]))
    assert " and " not in beside.splitlines()[0]
    assert "| machine" not in beside
    alone = markdown.compat_table(build([elsewhere]))
    assert alone.splitlines()[0] == "Known bugs by version set"
