"""MLX beside PyTorch in the report: a column per device, ratios only where they may be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from constructed_runs import measured

from metalassay.machine import chips
from metalassay.report.model import Table
from metalassay.report.sections import benchmarks, frameworks, key_figures, side_by_side
from metalassay.results.measurement import Measurement

TORCH = measured("m4")[0]
FASTER = replace(
    TORCH,
    framework="mlx",
    device="mps",
    versions={**TORCH.versions, "mlx": "0.32.4"},
    identity="ast1-0123456789ab",
    seconds=tuple(each / 2 for each in TORCH.seconds),
    malloc="default",
)


def table_of(*shown: Measurement) -> Table:
    section = frameworks.section(shown, chips.find)
    assert section is not None
    (table,) = section.tables
    return table


def test_without_mlx_there_is_no_section() -> None:
    assert frameworks.section([TORCH], chips.find) is None


def test_a_column_per_device_and_a_ratio_for_each_pair() -> None:
    on_cpu = replace(TORCH, device="cpu", threads=4)
    table = table_of(replace(TORCH, device="mps"), on_cpu, FASTER)
    assert table.head == (
        *("", "PyTorch, cpu", "PyTorch, mps", "MLX (GPU)"),
        *("MLX (GPU) / PyTorch, cpu", "MLX (GPU) / PyTorch, mps"),
    )
    assert table.rows[0][-2:] == ("2.00x", "2.00x")
    notes = " ".join(table.notes)
    assert "MLX (GPU): mlx 0.32.4." in notes
    assert f"PyTorch, cpu: torch {TORCH.versions['torch']}, 4 threads." in notes
    assert "reference BLAS" not in notes


def test_what_only_pytorch_has_run_is_not_in_the_table() -> None:
    table = table_of(replace(TORCH, batch_size=8), TORCH, FASTER)
    assert len(table.rows) == 1
    assert "batch 8" not in table.rows[0][0]


def test_an_interval_needs_five_processes_a_side() -> None:
    def of(one: Measurement) -> Measurement:
        seconds = tuple(one.seconds[0] * each for each in (1.0, 1.1, 0.9, 1.05, 0.95))
        return replace(one, processes=5, seconds=seconds)

    (row,) = table_of(of(TORCH), of(FASTER)).rows
    assert "x [" in row[-1]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"parameters": 7}, "parameters"),
        ({"items_per_call": 7}, "items per call"),
        ({"malloc": "tuned"}, "malloc default and tuned"),
        ({"parity": "forward: 3 of 4 values differ from the CPU's"}, "wrong numbers"),
        ({"flags": ("throttled by heat",)}, "one was throttled by heat"),
    ],
)
def test_what_is_not_alike_has_no_ratio(change: dict[str, Any], why: str) -> None:
    (row,) = table_of(TORCH, replace(FASTER, **change)).rows
    assert row[-1].startswith("not comparable: ")
    assert why in row[-1]


def test_an_emulated_device_has_no_figure() -> None:
    (row,) = table_of(replace(TORCH, emulated=True), FASTER).rows
    assert row[1] == "refused: rehearsal"
    assert row[-1] == "\N{EN DASH}"


def test_off_a_mac_the_table_says_that_it_is_no_claim_about_one() -> None:
    linux = measured("linux")[0]
    mine = replace(FASTER, machine=linux.machine, device="cpu", parameters=linux.parameters)
    assert any("these times say nothing about a Mac" in note for note in table_of(mine).notes)
    assert "MLX (CPU)" in table_of(mine).head


def test_mlx_and_pytorch_are_never_one_row_of_a_comparison_of_machines() -> None:
    other = measured("m4_pro")[0]
    compared = side_by_side.of([FASTER, replace(other, device="mps")], chips.find)
    assert all(ratio.value is None for row in compared.rows for ratio in row.ratios)
    both = replace(FASTER, machine=other.machine, seconds=other.seconds)
    (row,) = side_by_side.of([FASTER, both], chips.find).rows
    assert row.key[-1] == "MLX (GPU)"
    assert row.ratios[0].value is not None
    newer = replace(both, versions={**both.versions, "mlx": "0.33.0"})
    (row,) = side_by_side.of([FASTER, newer], chips.find).rows
    assert "mlx 0.32.4 and 0.33.0" in row.ratios[0].why
    assert key_figures.table(side_by_side.of([FASTER, both], chips.find)) is None


def test_a_newer_mlx_does_not_replace_an_older_one() -> None:
    newer = replace(FASTER, versions={**FASTER.versions, "mlx": "0.33.0"})
    assert len(benchmarks.latest([TORCH, FASTER, newer])) == 3
