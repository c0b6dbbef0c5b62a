"""The table of Apple's chips, and the row that describes a machine."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from typing import Any

import pytest

from metalassay.machine import chips
from metalassay.machine.hardware import Hardware

DATA: dict[str, Any] = tomllib.loads(
    resources.files("metalassay.machine").joinpath("chips.toml").read_text(encoding="utf-8")
)
SIZES = ["", "Pro", "Max", "Ultra"]
FIGURES = ["memory_bandwidth", "fp32_tflops", "measured_bandwidth", "measured_fp32_tflops"]
UNIT = {"memory_bandwidth": "_gb_s", "measured_bandwidth": "_gb_s"}


def machine(chip: str | None, gpu_cores: int | None, virtual: bool | None = False) -> Hardware:
    return Hardware(
        system="Darwin",
        release="macOS 15.1",
        machine="arm64",
        chip=chip,
        model=None,
        physical_cores=None,
        performance_cores=None,
        efficiency_cores=None,
        logical_cores=None,
        gpu=chip,
        gpu_cores=gpu_cores,
        memory_bytes=None,
        virtual=virtual,
    )


def value(figure: chips.Figure | None) -> float | None:
    return figure.value if figure else None


@pytest.mark.parametrize("row", DATA["chip"], ids=lambda row: row["name"])
def test_a_row_has_the_name_that_sysctl_gives_the_chip(row: dict[str, Any]) -> None:
    name = re.fullmatch(r"Apple M([1-9])(?: (Pro|Max|Ultra))?", row["name"])
    assert name
    assert row["generation"] == int(name[1])


def test_rows_are_unique_and_ordered_by_generation_and_size() -> None:
    names = [row["name"] for row in DATA["chip"]]
    assert len(set(names)) == len(names)
    order = [
        (row["generation"], SIZES.index("".join(row["name"].split()[2:]))) for row in DATA["chip"]
    ]
    assert order == sorted(order)


@pytest.mark.parametrize("row", DATA["chip"], ids=lambda row: row["name"])
def test_variants_are_ordered_by_gpu_cores_and_more_cores_are_never_slower(
    row: dict[str, Any],
) -> None:
    cores = [variant["gpu_cores"] for variant in row["variants"]]
    assert cores == sorted(set(cores))
    for figure in FIGURES:
        key = figure + UNIT.get(figure, "")
        values = [variant[key] for variant in row["variants"] if key in variant]
        assert values == sorted(values)


def test_sources_are_ordered_and_have_an_https_url_and_a_description() -> None:
    assert list(DATA["sources"]) == sorted(DATA["sources"], key=natural)
    for source in DATA["sources"].values():
        assert set(source) == {"url", "says"}
        assert source["url"].startswith("https://")
        assert source["says"]


def natural(key: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", key)]


def test_every_figure_names_a_source_and_every_source_is_used() -> None:
    used = set()
    for row in DATA["chip"]:
        assert row["cores_sources"], row["name"]
        used.update(row["cores_sources"])
        for figure in FIGURES:
            key = figure + UNIT.get(figure, "")
            has = any(key in variant for variant in row["variants"])
            assert has is (f"{figure}_source" in row), (row["name"], figure)
            if has:
                used.add(row[f"{figure}_source"])
    assert used == set(DATA["sources"])


@pytest.mark.parametrize("row", DATA["chip"], ids=lambda row: row["name"])
def test_only_known_keys_are_used(row: dict[str, Any]) -> None:
    chip = {"name", "generation", "cpu_cores", "cores_sources", "gpu_clock_mhz", "variants"}
    assert set(row) <= chip | {f"{figure}_source" for figure in FIGURES} | {"fp32_tflops_kind"}
    for variant in row["variants"]:
        assert set(variant) <= {"gpu_cores"} | {f + UNIT.get(f, "") for f in FIGURES}


@pytest.mark.parametrize("row", DATA["chip"], ids=lambda row: row["name"])
def test_an_estimate_is_cores_times_lanes_times_two_times_clock(row: dict[str, Any]) -> None:
    kind = row.get("fp32_tflops_kind")
    assert (kind is None) is ("fp32_tflops_source" not in row)
    assert ("gpu_clock_mhz" in row) is (kind == chips.ESTIMATE)
    assert kind in (None, chips.ESTIMATE, chips.PUBLISHED)
    for variant in row["variants"]:
        if kind == chips.ESTIMATE:
            tflops = variant["gpu_cores"] * 128 * 2 * row["gpu_clock_mhz"] / 1e6
            assert variant["fp32_tflops"] == round(tflops, 2)


@pytest.mark.parametrize("chip", chips.load(), ids=lambda chip: f"{chip.name} {chip.gpu_cores}")
def test_the_figures_of_a_chip_are_plausible(chip: chips.Chip) -> None:
    assert 1 <= chip.generation <= 9
    assert chip.cpu_cores
    for faster, slower in chip.cpu_cores:
        assert 4 <= faster <= 24
        assert 2 <= slower <= 12
    assert chip.gpu_cores
    assert 7 <= chip.gpu_cores <= 80
    assert chip.memory_bandwidth
    assert chip.memory_bandwidth.kind == chips.PUBLISHED
    # The memory bus is as wide as the GPU is big.
    assert 5 <= chip.memory_bandwidth.value / chip.gpu_cores <= 20
    if chip.fp32_tflops:
        assert 0.3 <= chip.fp32_tflops.value / chip.gpu_cores <= 0.5


@pytest.mark.parametrize("chip", chips.load(), ids=lambda chip: f"{chip.name} {chip.gpu_cores}")
def test_no_measurement_exceeds_the_limit(chip: chips.Chip) -> None:
    for measured, limit in [
        (chip.measured_bandwidth, chip.memory_bandwidth),
        (chip.measured_fp32_tflops, chip.fp32_tflops),
    ]:
        if measured:
            assert measured.kind == chips.MEASURED
            assert 0.5 * (value(limit) or measured.value) <= measured.value
            assert measured.value <= (value(limit) or measured.value)


def test_a_figure_has_the_url_of_its_source() -> None:
    m4 = chips.find(machine("Apple M4", 10))
    assert m4
    assert m4.memory_bandwidth == chips.Figure(
        120, chips.PUBLISHED, DATA["sources"]["ars-m4"]["url"]
    )
    assert m4.fp32_tflops == chips.Figure(
        4.04, chips.ESTIMATE, DATA["sources"]["eclecticlight"]["url"]
    )
    assert m4.measured_fp32_tflops == chips.Figure(
        3.31, chips.MEASURED, DATA["sources"]["mlx-benchmark"]["url"]
    )
    assert m4.sources[0] == "https://support.apple.com/en-sg/121555"
    m1 = chips.find(machine("Apple M1", 8))
    assert m1
    assert m1.fp32_tflops == chips.Figure(
        2.6, chips.PUBLISHED, DATA["sources"]["wikipedia-m1"]["url"]
    )


@pytest.mark.parametrize(
    ("name", "gpu_cores", "bandwidth", "tflops"),
    [
        ("Apple M4 Pro", 16, 273, 6.46),
        ("Apple M4 Pro", 20, 273, 8.08),
        ("Apple M4 Max", 32, 410, 12.93),
        ("Apple M4 Max", 40, 546, 16.16),
        ("Apple M3 Max", 30, 300, 10.6),
        ("Apple M1", 7, 68.25, None),
        ("Apple M5 Max", 32, 460, None),
        # The number of cores is unknown: figures that all variants share remain.
        ("Apple M4 Pro", None, 273, None),
        ("Apple M4 Max", None, None, None),
        ("Apple M1", None, 68.25, None),
        ("Apple M5 Pro", None, 307, None),
        # An unlisted number of cores may be a variant that we do not know.
        ("Apple M4", 9, None, None),
        ("Apple M5 Pro", 16, None, None),
    ],
)
def test_gpu_cores_select_the_variant_and_nothing_is_guessed(
    name: str, gpu_cores: int | None, bandwidth: float | None, tflops: float | None
) -> None:
    chip = chips.find(machine(name, gpu_cores))
    assert chip
    assert (chip.name, chip.gpu_cores) == (name, gpu_cores)
    assert value(chip.memory_bandwidth) == bandwidth
    assert value(chip.fp32_tflops) == tflops
    assert chip.sources


def test_a_measurement_on_one_variant_does_not_count_for_another() -> None:
    for cores in (16, None):
        chip = chips.find(machine("Apple M4 Pro", cores))
        assert chip
        assert chip.measured_bandwidth is None


@pytest.mark.parametrize(
    ("name", "virtual"),
    [
        (None, False),
        ("Apple M1 (Virtual)", True),
        ("Apple M4 Pro", True),
        ("Apple M4 Ultra", False),
        ("Apple M99", False),
        ("apple m4", False),
        ("Intel(R) Core(TM) i9-9980HK CPU @ 2.40GHz", False),
        ("AMD EPYC", None),
    ],
)
def test_an_unknown_chip_or_a_virtual_machine_gives_none(
    name: str | None, virtual: bool | None
) -> None:
    assert chips.find(machine(name, 10, virtual)) is None


def test_a_mac_of_unknown_virtualisation_counts_as_physical() -> None:
    assert chips.find(machine("Apple M4", 10, virtual=None))


def test_a_figure_without_a_source_does_not_load() -> None:
    text = """
[sources]
"one" = { url = "https://example.org/1", says = "cores" }
[[chip]]
name = "Apple M9"
generation = 9
cpu_cores = [[4, 4]]
cores_sources = ["one"]
variants = [{ gpu_cores = 10, memory_bandwidth_gb_s = 100 }]
"""
    with pytest.raises(KeyError, match="memory_bandwidth_source"):
        chips.parse(text)
