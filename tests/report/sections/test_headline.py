"""The headline: what was run where, what broke (red cells first), and how fast it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hand_made import BASE, LINUX, M4, find_chip, largest, measurement, on_pro

from metalassay import report
from metalassay.results import load as runs
from metalassay.results.load import Loaded
from metalassay.results.measurement import Measurement
from metalassay.results.parse import VersionSet

DATA = Path(__file__).parents[2] / "data" / "runs"


def sets(*names: str) -> tuple[VersionSet, ...]:
    return runs.load([DATA / f"constructed_compat_{name}.json" for name in names]).compat


def headline(
    ones: Sequence[Measurement] = (), compat: Sequence[VersionSet] = (), **more: Any
) -> tuple[str, ...]:
    return report.build(Loaded(tuple(compat), tuple(ones), **more), find_chip).headline


def test_without_a_file_the_headline_says_that_nothing_was_run() -> None:
    assert headline() == (
        "Nothing was run: no result file was read.",
        "Compatibility was not tested: no verdict file was read.",
        "Speed was not measured: no benchmark run was read.",
    )


def test_the_first_sentence_names_what_was_run_where() -> None:
    first, _, _ = headline(
        [BASE, on_pro(), measurement(machine=LINUX, device="cpu", workload="gpt-tiny")],
        sets("fine", "not_installable"),
        batches=(largest(),),
    )
    assert first == (
        "What was run: 3 measurements of gpt-tiny and transit-cnn on Apple M4 (10-core GPU, 16 GB), "
        "Apple M4 Pro (20-core GPU, 24 GB) and AMD EPYC (8 GB, virtual machine); "
        "the known bugs in 1 version set on AMD EPYC 9B14 (8 GB, virtual machine); "
        "1 version set that could not be installed; 1 search for the largest batch."
    )


def test_many_machines_are_counted_instead_of_all_named() -> None:
    machines = [replace(M4, memory_bytes=n * 2**30) for n in (8, 16, 24, 32, 48)]
    first, _, _ = headline([measurement(machine=machine) for machine in machines])
    assert "24 GB) and 2 more." in first
    assert (
        "24 GB) and Apple M4 (10-core GPU, 32 GB)."
        in headline([measurement(machine=machine) for machine in machines[:4]])[0]
    )
    assert "32 GB" not in first


def test_red_comes_first_and_names_bug_and_set() -> None:
    _, second, _ = headline(compat=sets("fine", "red", "patched"))
    assert second.startswith(
        "Compatibility: 1 of 4 tested cells RED: accelerate-empty-shard with "
        "accelerate-1.9.0 (unexplained); the others: 1 fine, "
    )


def test_without_a_red_cell_the_cells_are_counted_by_verdict() -> None:
    _, second, _ = headline(compat=sets("fine", "patched"))
    assert second == (
        "Compatibility: as our data predicts in all 3 tested cells: 1 fine, "
        "2 broken as known (a patch fixes 1), 1 not tested."
    )


def test_cells_that_did_not_run_do_not_count_as_tested() -> None:
    _, second, _ = headline(compat=sets("not_installable"))
    assert second.startswith("Compatibility: nothing was tested")
    assert "as the data says" not in second


def test_a_single_machine_has_a_speed_but_no_ratio() -> None:
    slower = measurement(batch_size=8, seconds=(0.01,) * 5)  # 800 a second
    _, _, third = headline([slower, BASE])
    assert third == (
        "transit-cnn training, batch 64 (float32, mps): 1,000 samples/s, the best of 2 batch sizes, "
        "quartiles 952 \N{EN DASH} 1,050; no ratio, because only Apple M4 (10-core GPU, 16 GB) was measured."
    )


def test_on_a_cpu_the_run_with_the_most_threads_is_reported_with_their_number() -> None:
    def on_cpu(threads: int, seconds: float, day: int) -> Measurement:
        when = BASE.when.replace(day=day)
        one: Measurement = measurement(
            device="cpu", threads=threads, seconds=(seconds,) * 5, when=when
        )
        return one

    # The newest is another's: one thread of ten says little of what a machine reaches.
    runs = [on_cpu(10, 0.08, 2), on_cpu(10, 0.07, 1), on_cpu(1, 0.2, 3)]
    assert "batch 64 (float32, cpu), 10 threads: 800 samples/s" in headline(runs)[2]


def test_single_runs_have_a_ratio_without_an_interval() -> None:
    infer = {"mode": "infer", "seconds": (0.016,) * 5}
    quick = {"mode": "infer", "seconds": (0.01,) * 5}
    _, _, third = headline([BASE, on_pro(), measurement(**infer), on_pro(**quick)])
    assert third == (
        "Apple M4 Pro over Apple M4: 2.00x in transit-cnn training, batch 64 (float32, mps) "
        "(of two single runs, so without an interval), 1.60x to 2.00x in the 2 rows with a ratio."
    )


def test_the_ratio_is_that_at_the_batch_size_at_which_the_first_machine_is_fastest() -> None:
    slow = measurement(batch_size=8, seconds=(0.01,) * 5)  # 800 a second
    _, _, third = headline([slow, on_pro(batch_size=8, seconds=(0.005,) * 5), BASE, on_pro()])
    assert "2.00x in transit-cnn training, batch 64 (float32, mps)" in third
    assert "2.00x in the 2 rows with a ratio." in third


def test_a_ratio_of_several_processes_has_its_interval() -> None:
    ones = [replace(BASE, series="a", seconds=(0.064,)) for _ in range(5)]
    others = [on_pro(series="b", seconds=(0.032,)) for _ in range(5)]
    _, _, third = headline([*ones, *others])
    assert "2.00x [2.00, 2.00] in transit-cnn training" in third
    assert "(in brackets: 95 % bootstrap interval over processes)" in third


def test_the_headline_says_why_there_is_no_ratio() -> None:
    other = on_pro(versions={"torch": "2.12.0"})
    assert headline([BASE, other])[2] == (
        "Apple M4 Pro over Apple M4: no ratio, not comparable: torch 2.13.0 and 2.12.0."
    )
    apart = on_pro(workload="gpt-tiny")
    assert "no workload was measured on both" in headline([BASE, apart])[2]


def test_a_refused_speed_is_not_reported() -> None:
    _, _, third = headline([measurement(seconds=(1e-4,) * 5)])  # 40 TFLOP/s
    assert third == (
        "No speed can be given for Apple M4 (10-core GPU, 16 GB); 1 of 1 measurement refused."
    )


@pytest.mark.parametrize("machine", [M4, LINUX])
def test_wrong_numbers_come_before_their_speed(machine: Any) -> None:
    device = "mps" if machine is M4 else "cpu"
    wrong = measurement(machine=machine, device=device, parity="3 of 8 values differ")
    assert headline([wrong])[2].startswith(f"WRONG NUMBERS in transit-cnn on {device}: ")


def test_superseded_measurements_are_counted_too() -> None:
    first, _, _ = headline([BASE], measured=12_000)
    assert first.startswith("What was run: 12,000 measurements of transit-cnn on Apple M4")
