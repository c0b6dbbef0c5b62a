"""The comparison beyond throughput: largest batches, bandwidth, power, published ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hand_made import BASE, LINUX, M4, M4_PRO, find_chip, largest, measurement, on_pro

from metalassay.report.model import NO_VALUE, Table
from metalassay.report.sections import comparison, side_by_side
from metalassay.report.sections.side_by_side import MOST_MACHINES, Compared
from metalassay.results.measurement import Measurement

UNMEASURED = "not measured"


def table(measured: Sequence[Measurement], **more: Any) -> Table:
    result = comparison.table(side_by_side.of(measured, find_chip, **more))
    assert result is not None
    return result


def row(table: Table, label: str) -> tuple[str, ...]:
    (result,) = [each for each in table.rows if each[0] == label]
    return result[1:]


def fleet(number: int) -> list[Measurement]:
    return [measurement(machine=replace(M4, memory_bytes=n * 2**30)) for n in range(1, number + 1)]


def test_the_machines_with_the_most_measurements_are_shown_and_the_rest_is_counted() -> None:
    many = fleet(MOST_MACHINES + 3)
    often = [replace(many[-1], batch_size=n) for n in (1, 2)]
    result = side_by_side.of([*many, *often], find_chip)
    assert len(result.machines) == MOST_MACHINES
    assert many[-1].machine.memory_bytes in {each.memory_bytes for each in result.machines}
    notes = table([*many, *often]).notes
    assert (
        "3 further machines are not shown. Shown are those with the most measurements;" in notes[-1]
    )


def test_largest_batches_are_shown_with_what_did_not_fit() -> None:
    pro = largest(machine=M4_PRO, largest=4096, limit=None, why="")
    result = table([BASE, on_pro()], batches=[largest(), pro])
    label = "maximum batch size, transit-cnn training (float32, mps)"
    assert row(result, label) == (
        "7,000 (7,300: memory pressure: less than 10% of the memory was left)",
        "4,096 or more (the largest that was tried)",
        "at least 0.56x",
    )


def test_the_newest_search_is_shown_and_an_emulated_one_is_refused() -> None:
    from datetime import timedelta

    newer = largest(largest=9000, when=largest().when + timedelta(days=1))
    emulated = largest(machine=LINUX, emulated=True)
    result = table([BASE, measurement(machine=LINUX)], batches=[newer, largest(), emulated])
    label = "maximum batch size, transit-cnn training (float32, mps)"
    assert row(result, label)[0].startswith("9,000 ")
    emulated_row = "maximum batch size, transit-cnn training (float32, mps (emulated))"
    assert row(result, emulated_row) == (UNMEASURED, "refused: rehearsal", NO_VALUE)


def test_a_machine_with_nothing_but_a_search_is_shown() -> None:
    result = side_by_side.of([BASE], find_chip, [largest(machine=M4_PRO)])
    assert result.short == ("Apple M4", "Apple M4 Pro")


def test_bandwidth_is_a_share_of_the_published_bandwidth() -> None:
    result = table([BASE, on_pro()])
    label = "memory bandwidth utilisation, transit-cnn training, batch 64 (float32, mps)"
    # 480 MB in 64 ms: 7.5 GB/s of 120; in 32 ms: 15 of 273
    assert row(result, label) == ("at most 6% of 120 GB/s", "at most 5% of 273 GB/s", NO_VALUE)


def test_bandwidth_and_power_are_shown_at_the_fastest_batch_size_only() -> None:
    rail = {"watts": 10.0, "watts_from": "GPU", "per_watt": 1.0}
    slow = [each(batch_size=8, seconds=(0.01,), **rail) for each in (measurement, on_pro)]
    alone = measurement(batch_size=512, seconds=(0.1,), **rail)  # 5,120 a second, on one machine
    both = [measurement(**rail), on_pro(**rail)]
    result = table([*slow, *both, alone])
    setting = "transit-cnn training, batch 64 (float32, mps)"
    labels = [row[0] for row in result.rows]
    assert [each for each in labels if each.startswith(("memory", "power", "samples/s per"))] == [
        f"memory bandwidth utilisation, {setting}",
        f"power, W, {setting}",
        f"samples/s per watt, {setting}",
    ]
    assert any(note.startswith("Bandwidth and power are those at") for note in result.notes)
    assert not any(note.startswith("Bandwidth") for note in table(both).notes)


def test_an_unknown_chip_has_a_share_of_its_own_triad() -> None:
    probed = measurement(machine=LINUX, device="cpu", measured_peak=(90.0, 25.0))
    other = measurement(machine=replace(LINUX, chip="AMD Ryzen"), device="cpu", measured_peak=None)
    result = table([probed, other])
    label = "memory bandwidth utilisation, transit-cnn training, batch 64 (float32, cpu)"
    assert row(result, label) == (
        "at most 30% of 25.0 GB/s of its triad",
        "bandwidth of this machine not known",
        NO_VALUE,
    )


def test_watts_have_their_source_and_the_speed_per_watt() -> None:
    rail = "GPU, modelled, zeus-apple-silicon"
    counted = measurement(watts=10.0, watts_from=rail, per_watt=100.0)
    result = table([counted, on_pro()])
    assert row(result, "power, W, transit-cnn training, batch 64 (float32, mps)") == (
        f"10.0 ({rail})",
        UNMEASURED,
        NO_VALUE,
    )
    label = "samples/s per watt, transit-cnn training, batch 64 (float32, mps)"
    assert row(result, label) == ("100", UNMEASURED, NO_VALUE)


def test_watts_of_a_refused_time_are_refused_too() -> None:
    impossible = measurement(seconds=(1e-4,) * 5, watts=10.0, watts_from="GPU", per_watt=6e4)
    result = table([impossible, on_pro()])
    assert row(result, "power, W, transit-cnn training, batch 64 (float32, mps)")[0] == "refused"
    label = "samples/s per watt, transit-cnn training, batch 64 (float32, mps)"
    assert row(result, label)[0] == "refused"


def test_a_ratio_outside_the_published_range_is_noted() -> None:
    far = on_pro(seconds=(0.016,) * 5)  # 4x; published figures of these chips span 1.99x to 3.00x
    (note,) = [note for note in table([BASE, far]).notes if "published figures" in note]
    assert note.startswith("transit-cnn training, batch 64 (float32, mps): 4.00x is outside the ")
    assert "published figures for Apple M4 Pro over Apple M4, 1.99x to 3.00x" in note
    assert not [note for note in table([BASE, on_pro()]).notes if "published figures" in note]
    # 64 samples in 0.05 s on the Pro's CPU: figures of GPUs say nothing about that
    on_cpu = [replace(each, device="cpu") for each in (BASE, far)]
    assert not [note for note in table(on_cpu).notes if "published figures" in note]


def test_a_single_machine_has_no_comparison() -> None:
    assert comparison.table(side_by_side.of([BASE], find_chip)) is None
    nothing = Compared((), (), (), (), (), {})
    assert side_by_side.of([], find_chip) == nothing


def test_a_marked_ratio_is_explained_once() -> None:
    newer = replace(M4_PRO, release="macOS 26.1")
    result = table(
        [
            BASE,
            on_pro(machine=newer),
            measurement(mode="infer"),
            on_pro(machine=newer, mode="infer"),
        ]
    )
    label = "transit-cnn training, samples/s, batch 64 (float32, mps)"
    assert row(result, label)[2] == "2.00x (macOS 15.1 / 26.1)"
    (note,) = [note for note in result.notes if note.startswith("Two versions of macOS")]
    assert "a Mac cannot run a macOS from before its release" in note
    assert not [note for note in table([BASE, on_pro()]).notes if "versions of macOS" in note]


def test_where_torch_differs_the_note_says_what_to_do() -> None:
    result = table([BASE, on_pro(versions={"torch": "2.12.0"})])
    label = "transit-cnn training, samples/s, batch 64 (float32, mps)"
    assert row(result, label)[2] == "not comparable: torch 2.13.0 and 2.12.0"
    assert any("install the same one on both machines" in note for note in result.notes)


def test_a_rehearsal_is_refused_in_every_row() -> None:
    rail = {"watts": 10.0, "watts_from": "GPU", "per_watt": 1.0, "emulated": True}
    searches = [largest(emulated=True), largest(machine=M4_PRO, emulated=True)]
    result = table([measurement(**rail), on_pro(**rail)], batches=searches)
    done = [row for row in result.rows if set(row[1:]) - {UNMEASURED, NO_VALUE}]
    assert len(done) == 5
    assert {cell for row in done for cell in row[1:3]} == {"refused: rehearsal"}
    assert {row[3] for row in done} == {"none: rehearsal", NO_VALUE}
    assert any(note.startswith("Rehearsal: ") for note in result.notes)


def test_a_ratio_of_modelled_watts_is_doubtful_and_that_of_measured_ones_is_not() -> None:
    def notes(source: str) -> list[str]:
        rail = {"watts": 10.0, "watts_from": f"GPU, {source}, a tool"}
        result = table([measurement(**rail), on_pro(**rail)])
        label = "power, W, transit-cnn training, batch 64 (float32, mps)"
        assert row(result, label)[2] == "1.00x"
        return [note for note in result.notes if note.startswith("Modelled watts")]

    assert len(notes("modelled")) == 1
    assert notes("measured") == []
