"""How busy the GPU is: what the systems' tools print, which of them is asked, and that nothing is invented."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metalassay.machine import gpu_load, system_tools

# In the form that public programs read; the values are constructed.
IOREG = """\
+-o AGXAcceleratorG16G  <class AGXAcceleratorG16G, id 0x1000003a1, registered, matched, active>
    {
      "IOClass" = "AGXAcceleratorG16G"
      "gpu-core-count" = 10
      "PerformanceStatistics" = {"In use system memory (driver)"=0,"Alloc system memory"=5177442304,"Tiler Utilization %"=3,"recoveryCount"=0,"Renderer Utilization %"=86,"Device Utilization %"=87,"In use system memory"=912375808}
    }

"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    gpu_load._reader.cache_clear()
    yield
    gpu_load._reader.cache_clear()


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        (IOREG, 87.0),
        (IOREG.replace('%"=87', '%" = 0'), 0.0),
        (IOREG + IOREG.replace('%"=87', '%"=91'), 91.0),
        (IOREG.replace("Device Utilization", "Device Use"), None),
        ("", None),
    ],
)
def test_ioreg_tells_it(text: str, percent: float | None) -> None:
    assert gpu_load.parse_ioreg(text) == percent


@pytest.mark.parametrize(
    ("text", "percent"),
    [("34\n", 34.0), ("0\n98\n", 98.0), ("[N/A]\n", None), ("[N/A]\n7\n", 7.0), ("", None)],
)
def test_nvidia_smi_tells_it(text: str, percent: float | None) -> None:
    assert gpu_load.parse_nvidia_smi(text) == percent


def test_a_mac_asks_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def output(command: Any, seconds: float) -> str:
        asked.append(tuple(command))
        return IOREG

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(system_tools, "output", output)
    assert gpu_load.read() == 87.0
    assert asked == [("/usr/sbin/ioreg", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator")]


def test_linux_asks_the_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for card, percent in (("card0", "12\n"), ("card1", "55\n")):
        device = tmp_path / card / "device"
        device.mkdir(parents=True)
        (device / "gpu_busy_percent").write_text(percent)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(gpu_load, "_DRM", tmp_path)
    assert gpu_load.read() == 55.0


def test_a_machine_without_a_gpu_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(gpu_load, "_DRM", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(system_tools, "output", lambda *_: pytest.fail("it starts a tool"))
    assert gpu_load.read() is None


def test_it_is_read_again_while_a_program_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = threading.Event()
    readings = iter([10.0, 20.0])

    def read() -> float:
        value = next(readings, 20.0)
        if value == 20.0:
            twice.set()
        return value

    monkeypatch.setattr(gpu_load, "read", read)
    with gpu_load.Sampler(every=0.001) as sampler:
        assert twice.wait(10)
    assert sampler.latest == 20.0
    assert not sampler._thread.is_alive()


def test_where_nothing_tells_it_stops_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(gpu_load, "read", lambda: asked.append(1))
    with gpu_load.Sampler(every=0.001) as sampler:
        sampler._thread.join(10)
        assert not sampler._thread.is_alive()
    assert asked == [1]
    assert sampler.latest is None
