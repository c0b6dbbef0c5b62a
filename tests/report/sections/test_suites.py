"""The section of another project's benchmarks: side by side, with ratios only where they mean something."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import constructed_suites as made
import pytest

from metalassay import report
from metalassay.errors import UserError
from metalassay.report.model import Report, Table
from metalassay.report.render import html, markdown
from metalassay.report.render.terminal import text as terminal
from metalassay.results import load

NAME = "bench/test_rows.py::test_sort"
SLOW = tuple(2 * value for value in made.ROUNDS)


def built(folder: Path, *documents: dict[str, Any], machines: Sequence[str] = ()) -> Report:
    loaded = load.load([made.write(folder, *documents)])
    assert loaded.warnings == ()
    return report.build(loaded, machines=machines)


def tables(page: Report) -> tuple[Table, ...]:
    (section,) = (one for one in page.sections if one.id.startswith("suite-"))
    return section.tables


def pair(**of_second: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        made.assayed(made.M4, {NAME: SLOW}),
        made.assayed(made.M4_PRO, {NAME: made.ROUNDS}, **of_second),
    )


def test_two_machines_stand_side_by_side_with_the_ratio_of_their_times(tmp_path: Path) -> None:
    page = built(tmp_path, *pair())
    times, conditions = tables(page)
    assert times.head == ("benchmark", "Apple M4", "Apple M4 Pro", "Apple M4 Pro / Apple M4")
    assert times.rows == (
        ("test_sort", "4.20 ms (4.20 \u2013 4.40)", "2.10 ms (2.10 \u2013 2.20)", "0.50x"),
    )
    assert "two single processes" in " ".join(times.notes)
    assert [row[0] for row in conditions.rows] == ["Apple M4", "Apple M4 Pro"]
    assert page.headline[0] == "What was run: 1 benchmark of 1 other project on 2 machines."
    assert page.headline[2] == "The speed of metalassay's own workloads was not measured."
    assert page.summary_line == "1 benchmark of 1 other project on 2 machines."


def test_five_processes_on_each_machine_give_an_interval(tmp_path: Path) -> None:
    documents = [
        made.assayed(
            hardware,
            {NAME: tuple(factor * (1 + process / 50) * value for value in made.ROUNDS)},
            series=series,
            when=f"2026-11-29T1{process}:00:00+00:00",
        )
        for hardware, series, factor in ((made.M4, "a1", 2), (made.M4_PRO, "b1", 1))
        for process in range(5)
    ]
    times, conditions = tables(built(tmp_path, *documents))
    assert times.rows[0][-1].startswith("0.50x [0.4")
    assert "bootstrap over the processes" in " ".join(times.notes)
    assert {row[8] for row in conditions.rows} == {"5"}


def edited(**changes: Any) -> dict[str, Any]:
    _, document = pair()
    for path, value in changes.items():
        at: Any = document
        *way, last = path.split("__")
        for key in way:
            at = at[key]
        at[last] = value
    return document


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (pair(identity="src1-ba9876543210")[1], "different source of the benchmark"),
        (pair(identity=None)[1], "no identity of the benchmark's source"),
        (pair(waits_for="mps")[1], "waits for no GPU and waits for mps"),
        (edited(versions__numpy="2.4.0"), "numpy 2.3.0 and 2.4.0"),
        (edited(commit_info__id="b" * 40), "commit aaaaaaaa and bbbbbbbb"),
        (edited(machine_info__python_version="3.13.0"), "CPython 3.12.4 and CPython 3.13.0"),
        (edited(metalassay__conditions__after__power_mode="low"), "power mode automatic and low"),
        (edited(metalassay__flags=["throttled: before the run"]), "one was throttled by heat"),
        (edited(machine_info__hardware__virtual=True), "one is a virtual machine"),
    ],
)
def test_what_differs_beside_the_machine_rules_a_ratio_out(
    second: dict[str, Any], why: str, tmp_path: Path
) -> None:
    times, _ = tables(built(tmp_path, pair()[0], second))
    assert times.rows[0][-1] == f"not comparable: {why}"


@pytest.mark.parametrize(
    "second", [edited(versions__pytest="9.0.0"), edited(versions__pandas="3.0.0")]
)
def test_a_tool_or_a_package_of_one_file_rules_nothing_out(
    second: dict[str, Any], tmp_path: Path
) -> None:
    assert tables(built(tmp_path, pair()[0], second))[0].rows[0][-1] == "0.50x"


def test_an_older_run_under_the_same_conditions_is_preferred(tmp_path: Path) -> None:
    newer = edited(versions__numpy="2.4.0", datetime="2026-11-30T10:00:00+00:00")
    assert tables(built(tmp_path, *pair(), newer))[0].rows[0][-1] == "0.50x"


def test_marks_say_what_a_ratio_may_be_due_to(tmp_path: Path) -> None:
    second = edited(machine_info__hardware__release="macOS 15.5", commit_info__dirty=True)
    times, conditions = tables(built(tmp_path, pair()[0], second))
    assert times.rows[0][-1] == "0.50x (macOS 26.1 / 15.5, uncommitted changes)"
    assert any(note.startswith("Two versions of macOS") for note in times.notes)
    assert conditions.rows[1][3] == "aaaaaaaa+"


def test_an_emulated_gpu_and_an_impossible_time_have_no_figure(tmp_path: Path) -> None:
    second = edited(metalassay__emulated=True)
    zero = made.assayed({**made.M4, "chip": "Apple M9"}, {NAME: (0.0,) * 5})
    times, _ = tables(built(tmp_path, pair()[0], second, zero))
    _, first, emulated, impossible, *ratios = times.rows[0]
    assert first.startswith("4.20 ms")
    assert (emulated, impossible) == (
        "refused: rehearsal",
        "refused: too short to be measured",
    )
    assert ratios == ["none: rehearsal", "\u2013"]


def test_flags_are_named(tmp_path: Path) -> None:
    second = pair(marks=["drifted: the last third"])[1]
    second["metalassay"]["flags"] = ["busy: a load of 9.0 on 2 processors"]
    notes = " ".join(tables(built(tmp_path, pair()[0], second))[1].notes)
    assert "Doubtful on Apple M4 Pro, the run of 2026-11-29 10:00: busy: a load of 9.0" in notes
    assert f"Doubtful on Apple M4 Pro, {NAME}: drifted: the last third." in notes


def test_flags_of_one_kind_are_counted(tmp_path: Path) -> None:
    document = made.assayed(
        made.M4, {NAME: made.ROUNDS, f"{NAME}_2": SLOW}, marks=["drifted: by 12 %"]
    )
    document["metalassay"]["flags"] = ["busy: a load of 9.0", "busy: a load of 9.5"]
    notes = tables(built(tmp_path, document))[1].notes
    assert [note.rpartition("; ")[2] for note in notes] == ["1 more of this kind."] * 2


def test_plain_files_are_compared_within_one_machine_info_only(tmp_path: Path) -> None:
    page = built(
        tmp_path,
        made.plain({NAME: SLOW}),
        made.plain({NAME: made.ROUNDS}, when="2026-11-30T10:00:00+00:00"),
        made.plain({NAME: made.ROUNDS}, node="another"),
    )
    alone, together = sorted(tables(page), key=lambda table: len(table.head))
    assert alone.rows == (("test_sort", "2.10 ms (2.10 \u2013 2.20)"),)
    assert together.rows[0][-1] == "0.50x"
    for table in (alone, together):
        assert "conditions unknown" in table.caption
        assert table.notes[0].startswith("Conditions unknown:")
    assert "another" not in terminal(page)


def test_a_plain_file_is_not_compared_with_one_of_assay(tmp_path: Path) -> None:
    page = built(tmp_path, pair()[0], made.plain({NAME: made.ROUNDS}))
    assert [len(table.head) for table in tables(page)] == [2, 12, 2]


def test_summaries_never_have_an_interval(tmp_path: Path) -> None:
    days = [
        made.plain({NAME: made.ROUNDS}, when=f"2026-11-{day}T10:00:00+00:00", raw=False)
        for day in range(10, 22)
    ]
    (table,) = tables(built(tmp_path, *days))
    assert table.rows[0][1] == "2.10 ms (2.10 \u2013 2.20), summary"
    assert table.rows[0][-1] == "1.00x"
    assert any("without the times of the rounds" in note for note in table.notes)


def test_machines_are_chosen_by_name(tmp_path: Path) -> None:
    times, _ = tables(built(tmp_path, *pair(), machines=["Apple M4"]))
    assert times.head == ("benchmark", "time of a call")
    assert times.rows[0][1].startswith("4.20 ms")
    with pytest.raises(UserError, match="no machine is called 'M7'"):
        built(tmp_path, *pair(), machines=["M7"])


def test_the_terminal_has_the_tables_and_no_hint_at_our_own_suites(tmp_path: Path) -> None:
    text = terminal(built(tmp_path, *pair()), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "| test_sort " in text
    assert "0.50x" in text
    assert "nox -s" not in text


def test_the_terminal_has_names_as_pytest_has_them(tmp_path: Path) -> None:
    page = built(tmp_path, made.assayed(made.M4, {"bench/test_rows.py::test[a_b]": SLOW}))
    assert "| test[a_b] " in terminal(page, 80)
    assert "test\\[a_b\\]" in markdown.render(page)


def test_a_long_table_is_cut_in_the_terminal_and_not_on_the_page(tmp_path: Path) -> None:
    many = {f"bench/test_rows.py::test_{number:03}": made.ROUNDS for number in range(50)}
    page = built(tmp_path, made.assayed(made.M4, many))
    assert "10 further rows are not shown." in terminal(page, 80)
    assert "test_049" not in terminal(page, 80)
    assert "test_049" in markdown.render(page)


HOSTILE = '<script>alert(1)</script>|`x`\n\n# h\x1b[31m\u202e" onload=' + "y" * 30_000


def test_what_strangers_write_is_escaped_and_bounded(tmp_path: Path) -> None:
    document = made.assayed(
        {**made.M4, "chip": HOSTILE},
        {HOSTILE: made.ROUNDS},
        marks=[HOSTILE],
    )
    document["metalassay"] |= {"project": HOSTILE, "flags": [HOSTILE]}
    document["commit_info"] |= {"id": HOSTILE}
    document["versions"][HOSTILE[:40]] = HOSTILE
    plain = made.plain({HOSTILE: made.ROUNDS})
    plain["commit_info"]["project"] = HOSTILE
    plain["machine_info"] |= {"python_version": HOSTILE, "release": HOSTILE}
    page = built(tmp_path, document, plain)
    shown = [markdown.render(page), html.render(page), terminal(page, 80)]
    for text in shown:
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "y" * 400 not in text
    assert "<script>alert" not in shown[0] + shown[1]
    assert "\n# h" not in shown[0]


def test_a_file_of_another_project_changes_nothing_in_our_tables(tmp_path: Path) -> None:
    ours = Path(__file__).parents[2] / "data" / "runs"
    alone = report.build(load.load([ours]))
    theirs = made.write(tmp_path, *pair(), json.loads(json.dumps(made.plain({NAME: SLOW}))))
    both = report.build(load.load([ours, theirs]))
    assert (both.benchmarks, both.comparison, both.conditions, both.compat) == (
        *(alone.benchmarks, alone.comparison, alone.conditions, alone.compat),
    )
    assert both.sections[1:] == alone.sections
