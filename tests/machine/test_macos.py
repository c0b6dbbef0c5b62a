"""What a Mac says of itself; the outputs are from public reports, whose addresses are here."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence

import pytest

from metalassay.machine import macos, system_tools

# `vm_stat` of a Mac with Apple silicon, as many tools' tests have it; the last lines are printed by an M5 only.
APPLE_SILICON = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                             4966851.
Pages active:                           1538433.
Pages inactive:                         1317733.
Pages speculative:                       236866.
Pages throttled:                              0.
Pages wired down:                        238375.
Pages purgeable:                          95377.
"Translation faults":                 730907432.
Pages copy-on-write:                   35974983.
Pages zero filled:                   2330206162.
Pages reactivated:                       893157.
Pages purged:                           4762017.
File-backed pages:                      1145376.
Anonymous pages:                        1947656.
Pages stored in compressor:               16076.
Pages occupied by compressor:              5017.
Decompressions:                           28026.
Compressions:                             44822.
Pageins:                               17815959.
Pageouts:                                  1088.
Swapins:                                      0.
Swapouts:                                     0.
"""
M5 = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pageins:                                 5704911813.
Pageouts:                                  10616553.
Swapins:                                   41697979.
Swapouts:                                  69922789.
Pages tagged:                                176314.
Tagged compressions:                        9304087.
"""
INTEL = """Mach Virtual Memory Statistics: (page size of 4096 bytes)
Pages free:                             3588620.
Pageins:                               46853435.
Pageouts:                                  1499.
Swapins:                               54565528.
Swapouts:                              56827840.
"""
# Mac OS X 10.6 had no compressor and counted no swapping.
SNOW_LEOPARD = """Mach Virtual Memory Statistics: (page size of 4096 bytes)
Pages free:                          12936.
Pageins:                           2846777.
Pageouts:                                0.
Object cache: 170 hits of 7316883 lookups (0% hit rate)
"""


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        (APPLE_SILICON, (0, 0)),  # although it has read 272 GB of files: what psutil calls "sin"
        (M5, (41697979 * 16384, 69922789 * 16384)),
        (INTEL, (54565528 * 4096, 56827840 * 4096)),
        (SNOW_LEOPARD, None),
        (APPLE_SILICON.partition("Swapouts")[0], None),
        (APPLE_SILICON.partition("\n")[2], None),
        ("", None),
    ],
)
def test_vm_stat_tells_what_was_swapped(text: str, moved: tuple[int, int] | None) -> None:
    assert macos.parse_vm_stat(text) == moved


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (APPLE_SILICON, 5017 * 16384),  # and not 16076, the pages before they were compressed
        (SNOW_LEOPARD, None),
        (APPLE_SILICON.partition("\n")[2], None),
        ("", None),
    ],
)
def test_vm_stat_tells_what_compressed_pages_take(text: str, size: int | None) -> None:
    assert macos.parse_compressed(text) == size


def test_only_a_mac_is_asked_what_it_compresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_tools, "output", lambda command, seconds: APPLE_SILICON)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert macos.compressed() == 5017 * 16384
    monkeypatch.setattr(sys, "platform", "linux")
    assert macos.compressed() is None


@pytest.mark.parametrize(
    ("text", "charge"),
    [
        (
            "Now drawing from 'Battery Power'\n"
            " -InternalBattery-0 (id=4653155)\t72%; discharging; 3:15 remaining present: true\n",
            0.72,
        ),
        (
            "Now drawing from 'AC Power'\n"
            " -InternalBattery-0 (id=4653155)\t100%; charged; 0:00 remaining present: true\n",
            None,
        ),
        ("Now drawing from 'AC Power'\n", None),  # a Mac mini
        (
            "Now drawing from 'Battery Power'\n"
            " -Back-UPS (id=1)\t95%; AC attached; not charging present: true\n"
            " -InternalBattery-0 (id=4653155)\t8%; discharging; (no estimate) present: true\n",
            0.08,
        ),
        ("", None),
    ],
)
def test_pmset_tells_whether_a_mac_runs_on_its_battery(text: str, charge: float | None) -> None:
    assert macos.parse_power_source(text) == charge


class FakeMac:
    """Answers in place of the tools of a Mac."""

    def __init__(self, **answers: str) -> None:
        self.answers = {name.replace("__", "."): answer for name, answer in answers.items()}

    def __call__(self, command: Sequence[str], seconds: float, **_: object) -> str:
        return self.answers.get(command[-1], "")


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("16.0", ("", "", ""), "arm64"))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return monkeypatch


def test_the_kernel_is_asked_for_the_version(mac: pytest.MonkeyPatch) -> None:
    mac.setattr(system_tools, "output", FakeMac(kern__osproductversion="26.1\n"))
    assert macos.version() == "26.1"
    mac.setattr(system_tools, "output", FakeMac())
    assert macos.version() is None
    mac.setattr(sys, "platform", "linux")
    assert macos.version() is None


def test_only_an_intel_program_on_apple_silicon_is_translated(mac: pytest.MonkeyPatch) -> None:
    mac.setattr(system_tools, "output", FakeMac(sysctl__proc_translated="1\n"))
    assert macos.under_rosetta()
    assert not macos.under_rosetta("arm64")
    mac.setattr(system_tools, "output", FakeMac())  # an Intel Mac does not know the name
    assert not macos.under_rosetta()


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("com.apple.system.thermalpressurelevel 0\n", "nominal"),
        ("com.apple.system.thermalpressurelevel 1\n", "moderate"),
        ("com.apple.system.thermalpressurelevel 2\n", "heavy"),
        ("com.apple.system.thermalpressurelevel 3\n", "trapping"),
        ("com.apple.system.thermalpressurelevel 4\n", "sleeping"),
        ("com.apple.system.thermalpressurelevel 30\n", None),  # the scale of iOS
        ("com.apple.system.thermalpressurelevel: Failed with code 9\n", None),
        ("", None),
    ],
)
def test_notifyutil_tells_the_thermal_pressure(text: str, level: str | None) -> None:
    assert macos.parse_thermal_pressure(text) == level


def test_a_virtual_machine_does_not_know_that_it_is_cool(mac: pytest.MonkeyPatch) -> None:
    name = "com__apple__system__thermalpressurelevel"
    for virtual, told, level in (
        ("0", 0, "nominal"),
        ("1", 0, None),
        ("1", 2, "heavy"),
        ("0", 1, "moderate"),
    ):
        answer = f"com.apple.system.thermalpressurelevel {told}\n"
        fake = FakeMac(kern__hv_vmm_present=virtual, **{name: answer})
        mac.setattr(system_tools, "output", fake)
        assert macos.thermal_pressure() == level


def test_the_names_in_earlier_files_are_read_as_the_present_ones() -> None:
    names = ("normal", "low power", "high", "powersave", None)
    assert [macos.power_mode_named(name) for name in names] == [
        "automatic",
        "low",
        "high",
        "powersave",
        None,
    ]
