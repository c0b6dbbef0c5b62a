from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from metalassay.errors import UserError
from metalassay.measure import device

ROOT = Path(__file__).parents[2]


@pytest.fixture
def metal_and_cuda_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch say that it has both; whether they work is another matter."""
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Collect what torch was asked to wait for."""
    calls: list[object] = []
    monkeypatch.setattr(torch.mps, "synchronize", lambda: calls.append("mps"))
    monkeypatch.setattr(torch.cuda, "synchronize", calls.append)
    return calls


def test_synchronize_waits_for_metal(waits: list[object]) -> None:
    device.synchronize(torch.device("mps"))
    assert waits == ["mps"]


def test_synchronize_waits_for_the_cuda_device_it_is_given(waits: list[object]) -> None:
    device.synchronize(torch.device("cuda:1"))
    assert waits == [torch.device("cuda:1")]


def test_synchronize_does_nothing_on_the_cpu(waits: list[object]) -> None:
    device.synchronize(torch.device("cpu"))
    assert waits == []


def test_synchronize_refuses_an_unsupported_device() -> None:
    with pytest.raises(ValueError, match="'meta'"):
        device.synchronize(torch.device("meta"))


@pytest.mark.parametrize(
    ("usable", "chosen"), [("mps cuda cpu", "mps"), ("cuda cpu", "cuda"), ("cpu", "cpu")]
)
def test_auto_chooses_the_first_usable_device(
    monkeypatch: pytest.MonkeyPatch, usable: str, chosen: str
) -> None:
    monkeypatch.setattr(device, "unusable", lambda kind: None if kind in usable else "broken")
    assert device.resolve("auto") == torch.device(chosen)


def test_the_cpu_is_usable() -> None:
    assert device.resolve("cpu") == torch.device("cpu")


@pytest.mark.usefixtures("metal_and_cuda_reported")
@pytest.mark.parametrize("kind", ["mps", "cuda"])
def test_a_device_that_torch_reports_but_cannot_use_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def ones(*_: int, device: str) -> torch.Tensor:
        if device != "cpu":
            raise RuntimeError("backend out of memory\nsecond line")
        return torch.full((8, 8), 1.0)

    monkeypatch.setattr(torch, "ones", ones)
    with pytest.raises(UserError, match=f"{kind} cannot be used here.*out of memory \\("):
        device.resolve(kind)
    assert device.resolve("auto") == torch.device("cpu")


@pytest.mark.usefixtures("metal_and_cuda_reported", "waits")
def test_a_device_that_computes_wrong_results_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "ones", lambda *_, device: torch.zeros(8, 8))
    with pytest.raises(UserError, match=r"gave 0\.0, not 512"):
        device.resolve("mps")


def test_a_device_is_synchronized_before_its_result_is_checked(
    monkeypatch: pytest.MonkeyPatch, waits: list[object]
) -> None:
    monkeypatch.setattr(device, "synchronize", waits.append)
    device.resolve("cpu")
    assert waits == [torch.device("cpu")]


@pytest.mark.parametrize(
    ("built", "reason"), [(False, "built without Metal"), (True, "no Metal GPU it supports")]
)
def test_missing_metal_is_explained(
    monkeypatch: pytest.MonkeyPatch, built: bool, reason: str
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: built)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert reason in str(device.unusable("mps"))


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(UserError, match=r"unknown device 'ane'.*auto, cpu, mps, cuda"):
        device.resolve("ane")


@pytest.mark.parametrize(
    ("kind", "platform", "expected"),
    [("mps", "darwin", False), ("mps", "linux", True), ("cpu", "linux", False)],
)
def test_metal_outside_macos_is_emulated(
    monkeypatch: pytest.MonkeyPatch, kind: str, platform: str, expected: bool
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert device.emulated(torch.device(kind)) is expected


def test_a_mac_is_named_as_torch_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "get_name", lambda: "Apple M4", raising=False)
    assert device.name(torch.device("mps")) == "Apple M4"


def test_the_cpu_is_named_by_its_architecture() -> None:
    assert device.name(torch.device("cpu")).strip(", ")


def test_a_run_that_needs_no_device_does_not_import_torch() -> None:
    code = (
        "import sys, pytest; pytest.main(['--collect-only', '-q', 'tests/bugs/test_verdict.py']);"
        "sys.exit('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "test_verdict.py" in run.stdout


def test_an_unknown_device_is_a_usage_error() -> None:
    command = [sys.executable, "-m", "pytest", "--device", "ane", "tests/bugs/test_verdict.py"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "argument --device: invalid choice: 'ane'" in run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_memory_on_the_cpu_is_the_peak_of_the_process() -> None:
    found = device.memory(torch.device("cpu"))
    assert (found["live"], found["driver"]) == (None, None)
    assert found["peak_rss"] is None or found["peak_rss"] > 2**24


def test_the_random_number_generators_of_cpu_and_device_are_saved_and_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: dict[str, torch.Tensor] = {"mps": torch.zeros(3)}
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: kept["mps"])
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state: kept.update(mps=state))
    states = device.rng_state(torch.device("mps"))
    first = torch.rand(3)
    kept["mps"] = torch.ones(3)
    device.set_rng_state(torch.device("mps"), states)
    assert torch.equal(torch.rand(3), first)
    assert torch.equal(kept["mps"], torch.zeros(3))
