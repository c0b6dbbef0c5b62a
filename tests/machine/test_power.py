"""Watts come from energy counters or not at all; the counters here are simulated."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from metalassay.machine import power
from metalassay.machine.power import Power, Reader


def ticking(*times: float) -> Callable[[], float]:
    left: Iterator[float] = iter(times)
    return lambda: next(left)


def watched(reader: Reader | str, seconds: float = 2.0) -> Power:
    with power.watch(reader, now=ticking(10.0, 10.0 + seconds)) as meter:
        pass
    return meter.power


def counter(*joules: float, largest: float | None = None) -> Reader:
    return Reader("package-0", "modelled", "RAPL", ticking(*joules), largest)


def test_watts_are_joules_over_seconds_with_their_rail_and_source() -> None:
    assert watched(counter(100.0, 130.0)) == Power(15.0, "package-0", "modelled", "RAPL", 2.0)


def test_a_counter_that_wrapped_around_is_corrected() -> None:
    assert watched(counter(990.0, 20.0, largest=1000.0)).watts == 15.0


@pytest.mark.parametrize(
    ("reader", "seconds", "why"),
    [
        ("no counters here", 2.0, "no counters here"),
        (counter(5.0, 5.0), 2.0, "the counters of RAPL did not advance"),
        (counter(5.0, 3.0), 2.0, "the counters of RAPL did not advance"),
        (counter(5.0, 9.0), 0.1, "0.10 s is too short for RAPL, whose counters advance in steps"),
    ],
)
def test_without_a_usable_count_there_are_no_watts(
    reader: Reader | str, seconds: float, why: str
) -> None:
    measured = watched(reader, seconds)
    assert (measured.watts, measured.source, measured.why) == (None, "unavailable", why)
    assert power.per_watt(100.0, measured) is None


def test_a_counter_that_fails_gives_a_reason() -> None:
    def joules() -> float:
        raise OSError("gone")

    assert watched(Reader("x", "modelled", "RAPL", joules)).why == "RAPL could not be read: gone"


def test_items_per_watt_divides_the_rate_by_the_watts() -> None:
    assert power.per_watt(300.0, Power(15.0, "x", "modelled", "RAPL", 1.0)) == 20.0


def package(root: Path, number: int, joules: float) -> None:
    zone = root / f"intel-rapl:{number}"
    (zone / f"intel-rapl:{number}:0").mkdir(parents=True)
    (zone / "name").write_text(f"package-{number}\n")
    (zone / "energy_uj").write_text(f"{joules * 1e6:.0f}\n")
    (zone / "max_energy_range_uj").write_text("1000000000\n")


def test_rapl_adds_up_the_packages_and_not_their_parts(tmp_path: Path) -> None:
    package(tmp_path, 0, 3.0)
    package(tmp_path, 1, 4.0)
    (tmp_path / "intel-rapl:0:0").mkdir()  # cores: part of package 0
    reader = power.rapl(tmp_path)
    assert isinstance(reader, Reader)
    assert (reader.rail, reader.joules(), reader.largest) == ("package-0 + package-1", 7.0, 2000.0)
    assert reader.source == "modelled"


def test_missing_or_unreadable_rapl_gives_a_reason(tmp_path: Path) -> None:
    assert "no RAPL counters" in str(power.rapl(tmp_path))
    package(tmp_path, 0, 1.0)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("what")
    assert "cannot be read" in str(power.rapl(tmp_path))


def test_a_mac_adds_up_the_parts_that_its_chip_reports() -> None:
    now = SimpleNamespace(cpu_total_mj=2000, gpu_mj=500, dram_mj=None, ane_mj=0)
    reader = power.apple(lambda: now)
    assert (reader.rail, reader.joules(), reader.source) == ("CPU + GPU + ANE", 2.5, "modelled")


def test_a_mac_without_the_extra_reports_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setitem(sys.modules, "zeus_apple_silicon", None)
    monkeypatch.setattr(sys, "version_info", (3, 13, 5, "final", 0))
    assert (
        power.find() == "no energy reader is installed: python -m pip install 'metalassay[power]'"
    )
    monkeypatch.setattr(sys, "version_info", (3, 14, 0, "final", 0))
    assert power.find() == "no energy reader is known for Python 3.14 and newer: use 3.13 or older"
