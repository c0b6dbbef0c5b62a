"""The six figures of two machines: what is measured, what is published, and how to get what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hand_made import BASE, LINUX, M4_PRO, find_chip, largest, measurement, on_pro

from metalassay.report.model import NO_VALUE, NOT_MEASURED, Table
from metalassay.report.sections import key_figures, side_by_side
from metalassay.results.measurement import Measurement

RAIL = "CPU + GPU, modelled, zeus-apple-silicon"
FULL = {"measured_peak": (3000.0, 102.0), "watts": 10.0, "watts_from": RAIL, "per_watt": 100.0}
FULL_PRO = {"measured_peak": (6000.0, 204.0), "watts": 16.0, "watts_from": RAIL, "per_watt": 125.0}


def table(measured: Sequence[Measurement], **more: Any) -> Table:
    result = key_figures.table(side_by_side.of(measured, find_chip, **more))
    assert result is not None
    return result


def cells(table: Table) -> list[tuple[str, ...]]:
    return [row[1:] for row in table.rows]


def complete(**changes: Any) -> Table:
    return table(
        [
            measurement(**FULL, **changes),
            on_pro(**FULL_PRO, **changes),
            measurement(mode="infer", **changes),
            on_pro(mode="infer", **changes),
        ],
        batches=[
            largest(largest=512, limit=513, **changes),
            largest(machine=M4_PRO, largest=2048, limit=2049, **changes),
        ],
    )


def test_two_machines_have_six_figures_and_their_ratios() -> None:
    result = complete()
    assert result.caption == "Apple M4 vs Apple M4 Pro in six figures: transit-cnn, float32, mps"
    assert result.head[3] == "Apple M4 Pro / Apple M4"
    en_dash = NO_VALUE
    assert result.rows == (
        (
            "training, samples/s, batch 64",
            f"1,000 (952 {en_dash} 1,050)",
            f"2,000 (1,900 {en_dash} 2,110)",
            "2.00x",
        ),
        (
            "inference, samples/s, batch 64",
            f"1,000 (952 {en_dash} 1,050)",
            f"2,000 (1,900 {en_dash} 2,110)",
            "2.00x",
        ),
        (
            "largest batch, training",
            "512 (513 did not fit)",
            "2,048 (2,049 did not fit)",
            "4.00x [4.00, 4.00]",
        ),
        (
            "memory bandwidth, GB/s",
            "102 (85% of 120 published)",
            "204 (75% of 273 published)",
            "2.00x",
        ),
        ("power in training, W, batch 64", "10.0 (modelled)", "16.0 (modelled)", "1.60x"),
        ("samples per joule, batch 64", "100", "125", "1.25x"),
    )
    assert result.commands == {}
    assert f"Power: {RAIL}." in result.notes
    assert any(note.startswith("Modelled watts") for note in result.notes)
    assert any("`--processes 5` gives the interval" in note for note in result.notes)


def test_without_watts_or_a_search_the_cell_has_the_command_for_its_machine() -> None:
    bench = "nox -s bench -- -k transit-cnn --batch-size 64 --processes 5"
    max_batch = "metalassay max-batch transit-cnn:train:device=mps --save"
    power = (
        "python -m pip install -e '.[bench,power]' && python -m pytest benchmarks "
        "--benchmark-autosave -k transit-cnn --batch-size 64 --processes 5"
    )
    result = table([BASE, on_pro()], batches=[largest()])
    assert [row[0] for row in result.rows if NOT_MEASURED in row] == [
        "inference, samples/s",
        "largest batch, training",
        "memory bandwidth, GB/s",
        "power in training, W, batch 64",
        "samples per joule, batch 64",
    ]
    assert result.commands == {
        **{(1, column): bench for column in (1, 2)},
        (2, 2): max_batch,
        **{(3, column): bench for column in (1, 2)},
        **{(row, column): power for row in (4, 5) for column in (1, 2)},
    }
    assert {row[3] for row in result.rows[1:]} == {NO_VALUE}


def test_the_commands_name_what_differs_from_their_defaults() -> None:
    on_cpu = {"device": "cpu", "dtype": "bfloat16", "batch_size": 8, "seconds": (0.05,)}
    linux = measurement(machine=LINUX, mode="infer", **on_cpu)
    result = table([measurement(mode="infer", **on_cpu), linux])
    options = "-k transit-cnn --batch-size 8 --dtype bfloat16 --device cpu --processes 5"
    assert result.commands[0, 1] == f"nox -s bench -- {options}"
    assert result.commands[2, 1] == (
        "metalassay max-batch transit-cnn:train:device=cpu,dtype=bfloat16 --save"
    )
    assert result.commands[4, 1].startswith("python -m pip install -e '.[bench,power]' && ")
    assert result.commands[4, 2].startswith(
        "nox -s bench -- -k transit-cnn"
    )  # RAPL needs no package


def test_a_workload_of_a_strange_name_is_quoted_for_the_shell() -> None:
    pair = [replace(one, workload="x; echo $HOME") for one in (BASE, on_pro())]
    assert "-k 'x; echo $HOME' --batch-size" in table(pair).commands[1, 1]


def test_every_ratio_is_marked_with_the_systems_and_explained_once() -> None:
    newer = replace(M4_PRO, release="macOS 26.1")
    result = table(
        [measurement(**FULL), on_pro(machine=newer, **FULL_PRO)],
        batches=[largest(), largest(machine=newer)],
    )
    marked = [row[3] for row in result.rows if row[3] != NO_VALUE]
    assert len(marked) == 5
    assert all(text.endswith("(macOS 15.1 / 26.1)") for text in marked)
    assert sum(note.startswith("Two versions of macOS") for note in result.notes) == 1


def test_several_processes_give_every_ratio_its_interval() -> None:
    def pooled(one: Measurement, gb_s: float, **power: float) -> Measurement:
        return replace(
            one,
            seconds=(one.seconds[0],) * 5,
            processes=5,
            measured_peak=(1.0, gb_s),
            each_gb_s=(gb_s,) * 5,
            watts_from=RAIL,
            watts=power["watts"],
            each_watts=(power["watts"],) * 5,
            per_watt=power["per_watt"],
            each_per_watt=(power["per_watt"],) * 5,
        )

    result = table(
        [
            pooled(BASE, 100.0, watts=10.0, per_watt=100.0),
            pooled(on_pro(), 200.0, watts=15.0, per_watt=110.0),
        ]
    )
    assert [row[3] for row in result.rows] == [
        "2.00x [2.00, 2.00]",
        NO_VALUE,
        NO_VALUE,
        "2.00x [2.00, 2.00]",
        "1.50x [1.50, 1.50]",
        "1.10x [1.10, 1.10]",
    ]
    assert not any("--processes 5` gives" in note for note in result.notes)


def test_a_bandwidth_above_the_specification_is_refused_and_has_no_ratio() -> None:
    wrong = on_pro(measured_peak=(6000.0, 900.0))
    result = table([measurement(**FULL), wrong])
    assert cells(result)[3] == (
        "102 (85% of 120 published)",
        "refused: above the limits of the chip",
        NO_VALUE,
    )


def test_the_specification_is_named_as_published_and_fills_no_cell() -> None:
    result = table([BASE, on_pro()])
    assert cells(result)[3] == (NOT_MEASURED, NOT_MEASURED, NO_VALUE)
    assert result.notes[-1] == (
        "Published specification of the memory bandwidth, not measured: Apple M4 120 GB/s; "
        "Apple M4 Pro 273 GB/s, 2.27x that of Apple M4."
    )


def test_a_rehearsal_shows_the_rows_and_no_figure() -> None:
    result = complete(emulated=True)
    assert cells(result) == [("refused: rehearsal", "refused: rehearsal", "none: rehearsal")] * 6
    assert "Apple M4, rehearsal vs Apple M4 Pro, rehearsal" in result.caption
    assert result.caption.endswith("mps (emulated)")
    assert any(note.startswith("Rehearsal: ") for note in result.notes)
    assert not any(note.startswith("Power: ") for note in result.notes)


def test_beside_a_real_machine_a_rehearsed_one_was_not_measured() -> None:
    result = table([BASE, on_pro(emulated=True)])
    assert result.caption.endswith("transit-cnn, float32, mps")
    assert cells(result)[0][1:] == (NOT_MEASURED, NO_VALUE)
    assert result.commands[0, 2] == "nox -s bench -- -k transit-cnn --batch-size 64 --processes 5"


@pytest.mark.parametrize(
    ("others", "setting"),
    [
        ([], "transit-cnn, float32, mps"),
        # the CNN is the guide's workload, even if another was measured more often
        (
            [measurement(workload="gpt-tiny"), on_pro(workload="gpt-tiny")],
            "transit-cnn, float32, mps",
        ),
        # what is real, though the CNN was rehearsed
        (
            [measurement(workload="gpt-tiny"), on_pro(workload="gpt-tiny")],
            "gpt-tiny, float32, mps",
        ),
        # a ratio on the CPU says more than one machine's GPU
        (
            [measurement(device="cpu", dtype="bfloat16"), on_pro(device="cpu", dtype="bfloat16")],
            "transit-cnn, bfloat16, cpu",
        ),
    ],
)
def test_all_figures_are_of_one_setting(others: list[Measurement], setting: str) -> None:
    cnn = [BASE, on_pro(batch_size=8)]
    if setting.startswith("gpt"):
        cnn = [replace(one, emulated=True) for one in cnn]
    assert table([*cnn, *others]).caption.endswith(setting)


def test_one_machine_has_no_key_figures_and_three_have_two_ratios() -> None:
    assert key_figures.table(side_by_side.of([BASE], find_chip)) is None
    three = table([BASE, on_pro(), measurement(machine=LINUX, device="cpu")])
    assert len(three.head) == 6
    assert {len(row) for row in three.rows} == {6}


def test_two_searches_alone_are_compared() -> None:
    result = table([], batches=[largest(), largest(machine=M4_PRO)])
    assert cells(result)[2][2].startswith("1.00x")
    assert result.commands[0, 1] == "nox -s bench -- -k transit-cnn --processes 5"


def test_no_command_is_given_for_a_device_that_a_machine_cannot_have() -> None:
    result = table([BASE, measurement(machine=LINUX, device="cpu")])
    assert result.caption.endswith("float32, mps")
    assert cells(result)[0][1] == NOT_MEASURED
    assert {column for _, column in result.commands} == {1}
    on_cuda = table(
        [measurement(machine=LINUX, device="cuda"), on_pro(device="cpu", dtype="bfloat16")]
    )
    assert on_cuda.caption.endswith("float32, cuda")
    assert {column for _, column in on_cuda.commands} == {2}
