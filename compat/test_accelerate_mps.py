"""What accelerate decides when PyTorch reports that it has MPS.

No device is needed: PyTorch's answers are simulated, no tensor is put on a device, and the tests
check only accelerate's decisions and messages.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from metalassay.environment import versions

if not {"accelerate", "torch"} <= versions.installed().keys():
    pytest.skip("accelerate or torch is not installed", allow_module_level=True)

# An installed package that cannot be imported is an error, not a skip.
import accelerate
from accelerate.commands import env
from accelerate.utils import find_executable_batch_size

OOM = "accelerate-mps-oom-not-recognised"
MPS_MESSAGE = (
    "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 384.00 KB, max allowed:"
    " 9.07 GB). Tried to allocate 2.00 GB on private pool. Use PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0"
    " to disable upper limit for memory allocations (may cause system failure)."
)


def on_mps(**options: str) -> accelerate.Accelerator:
    """Return an Accelerator that has chosen MPS, or skip the test."""
    if "mps" not in Path(accelerate.state.__file__).read_text("utf-8"):
        pytest.skip("this accelerate does not know MPS")
    try:
        accelerator = accelerate.Accelerator(**options)
    except ValueError as error:
        if "requires a Pytorch" in str(error):  # a correct refusal: this torch lacks the feature
            pytest.skip(str(error))
        raise
    if accelerator.device.type != "mps":
        pytest.skip("this accelerate does not choose MPS by default")
    return accelerator


@pytest.mark.bug("accelerate-mps-fp16-refused", symptom="refused")
def test_fp16_is_accepted(upstream: str, simulated_mps: None) -> None:
    assert on_mps(mixed_precision="fp16").native_amp


@pytest.mark.bug("accelerate-mps-fp16-refused", symptom="unscaled")
def test_fp16_gets_an_enabled_gradient_scaler(upstream: str, simulated_mps: None) -> None:
    try:
        accelerator = on_mps(mixed_precision="fp16")
    except ValueError as error:
        pytest.skip(f"fp16 is refused, which has its own test: {error}")
    assert accelerator.scaler.is_enabled(), "accepts fp16, but its gradient scaler is off"


@pytest.mark.bug("accelerate-mps-bf16-silently-fp32", symptom="silent")
def test_bf16_from_the_environment_is_applied(
    upstream: str, simulated_mps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `accelerate launch --mixed_precision bf16` and the configuration file set this variable.
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    accelerator = on_mps()
    assert accelerator.mixed_precision == "bf16"
    assert accelerator.native_amp, "says bf16 and opens no autocast: everything runs in float32"


@pytest.mark.bug("accelerate-mps-bf16-silently-fp32", symptom="refused")
def test_bf16_as_an_argument_is_accepted(upstream: str, simulated_mps: None) -> None:
    assert on_mps(mixed_precision="bf16").native_amp


@pytest.mark.bug("accelerate-mps-env-na", symptom="not-named")
def test_accelerate_env_names_mps(
    upstream: str,
    simulated_mps: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if hasattr(env, "subprocess"):  # runs `which`, whose failure has a test of its own
        monkeypatch.setattr(env.subprocess, "check_output", lambda *_, **__: "/somewhere")
    env.env_command(argparse.Namespace(config_file=None))
    line = re.search(r"PyTorch accelerator: .*", capsys.readouterr().out)
    if line is None:
        pytest.skip("this accelerate prints no line about the accelerator")
    assert "MPS" in line.group(), line.group()


def fitted(message: str) -> int:
    """Return the batch size found for a function that runs out of memory above a batch of two."""

    @find_executable_batch_size(starting_batch_size=8)  # type: ignore[untyped-decorator]
    def train(batch_size: int) -> int:
        if batch_size > 2:
            raise RuntimeError(message)
        return batch_size

    batch_size: int = train()
    return batch_size


@pytest.mark.bug(OOM, symptom="raised")
def test_the_batch_size_shrinks_when_mps_is_out_of_memory(upstream: str) -> None:
    assert fitted(MPS_MESSAGE) == 2


@pytest.mark.bug(OOM)
def test_the_batch_size_shrinks_when_cuda_is_out_of_memory(upstream: str) -> None:
    assert fitted("CUDA out of memory. Tried to allocate 2.00 GiB.") == 2
