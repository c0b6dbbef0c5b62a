"""Names and order of machines in a report."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hand_made import M4_PRO, largest, measurement

from metalassay.machine.hardware import Hardware
from metalassay.report.machines import (
    identity,
    in_order,
    names,
    natural,
    rehearsed,
    short_name,
)

UNKNOWN = Hardware("Linux", "6.1", "aarch64", *[None] * 10)
GB = 2**30
M4 = replace(
    UNKNOWN,
    system="Darwin",
    machine="arm64",
    chip="Apple M4",
    model="Mac16,10",
    gpu="Apple M4",
    gpu_cores=10,
    memory_bytes=16 * GB,
)


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (M4, "Apple M4 (10-core GPU, 16 GB)"),
        (replace(M4, gpu_cores=None), "Apple M4 (16 GB)"),
        (
            replace(M4, chip="Apple M4 (Virtual)", virtual=True, gpu=None, gpu_cores=None),
            "Apple M4 (Virtual) (16 GB)",
        ),
        (UNKNOWN, "aarch64 processor"),
        (
            replace(UNKNOWN, logical_cores=2, memory_bytes=4 * GB),
            "aarch64 processor (2 threads, 4 GB)",
        ),
        (replace(UNKNOWN, chip="AMD EPYC", gpu="NVIDIA H200"), "AMD EPYC (NVIDIA H200)"),
        (replace(UNKNOWN, chip="AMD EPYC", virtual=True), "AMD EPYC (virtual machine)"),
    ],
)
def test_a_machine_is_named_by_what_is_known_about_it(machine: Hardware, name: str) -> None:
    assert short_name(machine) == name


def test_machines_of_the_same_name_get_their_model_and_then_a_number() -> None:
    laptop = replace(M4, model="Mac16,1")
    other, third = (replace(M4, performance_cores=n) for n in (3, 2))
    name = "Apple M4 (10-core GPU, 16 GB)"
    assert set(names([M4, laptop]).values()) == {f"{name} Mac16,10", f"{name} Mac16,1"}
    assert set(names([other, laptop, third]).values()) == {
        f"{name} Mac16,10 no. 1",
        f"{name} Mac16,10 no. 2",
        f"{name} Mac16,1",
    }


def test_the_same_machine_after_an_update_is_one_machine() -> None:
    assert in_order([M4, replace(M4, release="macOS 26.0")]) == [replace(M4, release="")]


def test_apple_chips_come_first_and_an_m4_before_an_m4_pro() -> None:
    chips = ["Apple M10", "Apple M4 Pro", "Apple M4 Max", "Apple M4", "Apple M3 Ultra"]
    machines = [replace(UNKNOWN, chip="AMD"), *(replace(M4, chip=chip) for chip in chips)]
    assert [machine.chip for machine in in_order(machines)] == [
        "Apple M3 Ultra",
        "Apple M4",
        "Apple M4 Max",
        "Apple M4 Pro",
        "Apple M10",
        "AMD",
    ]


def test_versions_sort_by_their_numbers() -> None:
    long = "9" * 5000  # more digits than int() reads
    ids = ["guide", "a-1.10.0", long, "a-1.9.0", "a-1.9", "4"]
    assert sorted(ids, key=natural) == ["4", long, "a-1.9", "a-1.9.0", "a-1.10.0", "guide"]


def test_a_machine_of_which_nothing_is_real_is_named_a_rehearsal() -> None:
    rehearsal, search = measurement(emulated=True), largest(machine=M4_PRO, emulated=True)
    assert rehearsed([rehearsal, search]) == {identity(one.machine) for one in (rehearsal, search)}
    assert rehearsed([rehearsal, measurement(), rehearsal, search]) == {identity(M4_PRO)}
    only_m4 = rehearsed([rehearsal])
    assert list(names([rehearsal.machine, M4_PRO], only_m4).values()) == [
        "Apple M4 (10-core GPU, 16 GB), rehearsal",
        "Apple M4 Pro (20-core GPU, 24 GB)",
    ]
