"""Which devices are measured: what works is, what does not is named, and nothing is tried in this process."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
from typing import Any

import pytest

from metalassay.bench import devices
from metalassay.bench.devices import Devices
from metalassay.errors import UserError
from metalassay.mps import probe
from metalassay.mps.probe import Probe


def answers(monkeypatch: pytest.MonkeyPatch, state: str, reason: str) -> None:
    """Let this be a Mac whose mps is probed with this result."""
    found = Probe(state, reason, "2.13.0", "15.1", None, False, None)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(probe, "probe", lambda timeout: found)


def test_a_gpu_that_works_is_measured_before_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, probe.USABLE, "its results agree with the CPU")
    assert devices.find() == Devices(("mps", "cpu"))
    assert devices.find("mps") == Devices(("mps",))


def test_a_dead_mps_is_named_and_the_cpu_is_measured_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers(monkeypatch, probe.DEAD, "allocating 256 bytes failed")
    found = devices.find()
    assert found.names == ("cpu",)
    assert found.unusable.startswith("mps does not work here, so the CPU alone is measured: ")
    assert found.unusable.endswith("(allocating 256 bytes failed)")
    with pytest.raises(UserError, match=r"mps cannot be measured here: .*allocating 256 bytes"):
        devices.find("mps")


def test_the_cpu_alone_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_unusable", None)
    monkeypatch.setattr(devices, "_gpu", None)
    assert devices.find("cpu") == Devices(("cpu",))


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        ("a warning\nusable\n", Devices(("cuda", "cpu"))),
        (
            "torch finds no CUDA GPU\n",
            Devices(
                ("cpu",),
                "cuda does not work here, so the CPU alone is measured: torch finds no CUDA GPU",
            ),
        ),
        (
            "",
            Devices(("cpu",), "cuda does not work here, so the CPU alone is measured: exit code 0"),
        ),
    ],
)
def test_cuda_is_asked_in_a_process_of_its_own(
    printed: str, found: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, printed, "")

    monkeypatch.setattr(devices, "_gpu", lambda: "cuda")
    monkeypatch.setattr(subprocess, "run", run)
    assert devices.find() == found


def test_a_cuda_that_hangs_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], timeout: float, **_: Any) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(devices, "_gpu", lambda: "cuda")
    monkeypatch.setattr(subprocess, "run", run)
    assert "did not answer within 120 s" in devices.find().unusable


def test_on_a_mac_an_allowed_emulation_is_probed_as_any_mps_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers(monkeypatch, probe.DEAD, "allocating 256 bytes failed")
    assert devices.find("auto", emulated=True).names == ("cpu",)


def test_an_emulated_mps_has_to_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(devices, "_gpu", lambda: None)
    assert devices.find("auto", emulated=True) == Devices(("mps", "cpu"))
    assert devices.find("mps", emulated=True) == Devices(("mps",))
    assert devices.find() == Devices(("cpu",))


def test_every_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name.startswith("pytest") else sys
    )
    with pytest.raises(UserError) as caught:
        devices.require()
    assert (
        caught.value.message == "bench needs pytest and pytest-benchmark, which are not installed"
    )
    assert caught.value.next_step == "pip install 'metalassay[bench]'"
