"""What --device auto takes, by what the machine and torch say."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path

import pytest

from metalassay.mps import probe
from metalassay.workers import devices


def mac(monkeypatch: pytest.MonkeyPatch, state: str, reason: str = "it failed") -> None:
    """Let this be a Mac whose probe finds that state."""
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    found = probe.Probe(state, reason, "2.13.0", "15.5", None, False, None)
    monkeypatch.setattr(probe, "probe", lambda python: found)


def test_a_named_device_is_taken_without_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: pytest.fail("asked"))
    assert devices.take("mps") == devices.Taken("mps")
    assert str(devices.take("mps")) == "device: mps"


def test_a_mac_takes_mps_only_where_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    mac(monkeypatch, probe.USABLE)
    assert devices.take("auto").device == "mps"
    mac(monkeypatch, probe.DEAD, "allocating 256 bytes failed")
    taken = devices.take("auto")
    assert str(taken) == "device: cpu (MPS is not usable: allocating 256 bytes failed)"


@pytest.mark.parametrize(
    ("answer", "device"), [("True", "cuda"), ("False", "cpu"), ("no torch here", "cpu")]
)
def test_torch_is_asked_where_there_is_an_nvidia_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str, device: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {answer}\n")
    python.chmod(0o755)
    assert devices.take("auto", str(python)).device == device


def test_without_a_gpu_torch_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert devices.take("auto", sys.executable + "-missing").device == "cpu"
