"""The limits of Apple's chips, from chips.toml, and which of its rows describes a machine."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from metalassay.machine.hardware import Hardware

PUBLISHED, ESTIMATE, MEASURED = "published", "estimate", "measured"


@dataclass(frozen=True)
class Figure:
    """A number with its source, a URL.

    ``kind`` is "published" (by the maker), "estimate" (computed from a clock and a core count) or
    "measured" (by a third party, on such a machine).
    """

    value: float
    kind: str
    source: str


@dataclass(frozen=True)
class Chip:
    """A chip with a given number of GPU cores. A figure is None if we have no reliable source for it.

    ``cpu_cores`` lists every configuration sold, as (faster, slower) cores. ``memory_bandwidth``
    and ``measured_bandwidth`` are in GB/s (10**9 bytes), ``fp32_tflops`` and
    ``measured_fp32_tflops`` in 10**12 float32 operations per second of the GPU. The first of each
    pair is a limit, the second a measurement. ``gpu_cores`` is None if the variant is unknown.
    """

    name: str
    generation: int
    cpu_cores: tuple[tuple[int, int], ...]
    gpu_cores: int | None
    memory_bandwidth: Figure | None
    fp32_tflops: Figure | None
    measured_bandwidth: Figure | None
    measured_fp32_tflops: Figure | None
    sources: tuple[str, ...]


def parse(text: str) -> tuple[Chip, ...]:
    """Read the TOML into one ``Chip`` per variant, in order. Raises ``KeyError`` for a missing key."""
    document = tomllib.loads(text)
    urls = {key: source["url"] for key, source in document["sources"].items()}
    return tuple(chip for row in document["chip"] for chip in _variants(row, urls))


def _variants(row: Mapping[str, Any], urls: Mapping[str, str]) -> Iterator[Chip]:
    for variant in row["variants"]:
        # Rows without TFLOPS name no kind.
        kind = row["fp32_tflops_kind"] if "fp32_tflops" in variant else ""
        yield Chip(
            name=row["name"],
            generation=row["generation"],
            cpu_cores=tuple((faster, slower) for faster, slower in row["cpu_cores"]),
            gpu_cores=variant["gpu_cores"],
            memory_bandwidth=_figure("memory_bandwidth_gb_s", PUBLISHED, variant, row, urls),
            fp32_tflops=_figure("fp32_tflops", kind, variant, row, urls),
            measured_bandwidth=_figure("measured_bandwidth_gb_s", MEASURED, variant, row, urls),
            measured_fp32_tflops=_figure("measured_fp32_tflops", MEASURED, variant, row, urls),
            sources=tuple(urls[key] for key in row["cores_sources"]),
        )


def _figure(
    key: str,
    kind: str,
    variant: Mapping[str, Any],
    row: Mapping[str, Any],
    urls: Mapping[str, str],
) -> Figure | None:
    if key not in variant:
        return None
    source = urls[row[f"{key.removesuffix('_gb_s')}_source"]]
    return Figure(float(variant[key]), kind, source)


@functools.cache
def load() -> tuple[Chip, ...]:
    """Return every variant in chips.toml, in its order."""
    return parse(resources.files(__package__).joinpath("chips.toml").read_text(encoding="utf-8"))


def find(hardware: Hardware) -> Chip | None:
    """Return what is known about the machine's chip, or None if it is not in chips.toml.

    The name must match, and the number of GPU cores selects the variant. If that number is unknown,
    the figures on which all variants agree remain and the others are None; if it is a number that we
    do not list, all figures are None. A virtual machine gets None, because its host's limits are not
    its own.
    """
    variants = [chip for chip in load() if chip.name == hardware.chip]
    if hardware.virtual or not variants:
        return None
    for chip in variants:
        if chip.gpu_cores == hardware.gpu_cores:
            return chip
    first = variants[0]
    could_be_any = hardware.gpu_cores is None

    def agreed(figures: set[Figure | None]) -> Figure | None:
        return figures.pop() if could_be_any and len(figures) == 1 else None

    return Chip(
        name=first.name,
        generation=first.generation,
        cpu_cores=first.cpu_cores,
        gpu_cores=hardware.gpu_cores,
        memory_bandwidth=agreed({chip.memory_bandwidth for chip in variants}),
        fp32_tflops=agreed({chip.fp32_tflops for chip in variants}),
        measured_bandwidth=agreed({chip.measured_bandwidth for chip in variants}),
        measured_fp32_tflops=agreed({chip.measured_fp32_tflops for chip in variants}),
        sources=first.sources,
    )
