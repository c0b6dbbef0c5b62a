"""Installed versions, and the facts about the machine that are added to them."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from metalassay import bugs
from metalassay.environment import versions
from metalassay.machine import hardware, macos

HAZARD = bugs.parse("""
[[bug]]
id = "mps-x"
title = "x"
link = "https://example.org/1"
where = [{ torch = "<2.14", macos = ">=14,<27", apple-silicon = "<3" }]
cause = "invented"
fixes = ["upgrade"]
[[bug.symptom]]
id = "wrong"
raises = "AssertionError"
match = "x"
""")[0]


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Pretend to be a Mac with an M2 Max and macOS 15.5."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(macos, "version", lambda: "15.5")
    chip = hardware.Processor(chip="Apple M2 Max", virtual=False)
    monkeypatch.setattr(hardware, "mac_processor", lambda: chip)
    return monkeypatch


def test_a_mac_has_its_macos_and_the_generation_of_its_chip(mac: pytest.MonkeyPatch) -> None:
    found = versions.installed(())
    assert found == {
        "python": platform.python_version(),
        "macos": "15.5",
        "apple-silicon": "2",
    }


def test_an_unknown_or_virtual_chip_has_no_generation(
    mac: pytest.MonkeyPatch,
) -> None:
    for chip, virtual in (("Apple M1 (Virtual)", True), (None, None), ("Intel Core i7", False)):
        processor = hardware.Processor(chip=chip, virtual=virtual)
        mac.setattr(hardware, "mac_processor", lambda processor=processor: processor)
        assert versions.machine() == {"macos": "15.5"}


def test_another_system_has_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("15.5", ("", "", ""), "arm64"))
    assert versions.machine() == {}


@pytest.mark.parametrize(
    ("chip", "generation"),
    [("Apple M4 Pro", 4), ("Apple M1", 1), ("Apple M12 Ultra", 12), ("Apple A18", None)],
)
def test_the_generation_is_the_number_after_the_m(chip: str, generation: int | None) -> None:
    assert hardware.apple_generation(hardware.Processor(chip=chip)) == generation


@pytest.mark.parametrize(
    ("installed", "hit"),
    [
        ({"torch": "2.13.0", "macos": "15.5", "apple-silicon": "2"}, True),
        ({"torch": "2.13.0+cpu"}, False),
        ({"torch": "2.13.0", "macos": "15.5"}, False),
        ({"torch": "2.13.0", "macos": "15.5", "apple-silicon": "4"}, False),
        ({"torch": "2.13.0", "macos": "27.0", "apple-silicon": "1"}, False),
        ({"torch": "2.13.0", "macos": "13.7", "apple-silicon": "1"}, False),
        ({"torch": "2.14.0", "macos": "15.5", "apple-silicon": "1"}, False),
    ],
)
def test_a_bug_that_names_a_machine_applies_to_no_other(
    installed: dict[str, str], hit: bool
) -> None:
    assert HAZARD.hits(installed) is hit


def test_damaged_metadata_is_unreadable_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "damaged-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_bytes(bytes(range(128, 256)))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert versions.installed(("damaged",))["damaged"] == versions.UNREADABLE
