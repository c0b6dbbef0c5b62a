"""torch alone, used as in tutorials. Each test asserts the correct behaviour."""

from __future__ import annotations

import pytest

from metalassay.environment import versions

if "torch" not in versions.installed():
    pytest.skip("torch is not installed", allow_module_level=True)

SCALER = "torch-cuda-gradscaler-mps"


@pytest.mark.filterwarnings("ignore:.*GradScaler:FutureWarning", "ignore:.*GradScaler:UserWarning")
@pytest.mark.bug(SCALER, symptom="disabled")
def test_a_scaler_asked_to_scale_on_mps_scales(upstream: str) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("with a CUDA GPU the scaler is on, for CUDA")
    scaler = torch.cuda.amp.GradScaler("mps")  # type: ignore[arg-type]
    assert scaler.is_enabled(), "the scaler is silently off: it scales nothing"


@pytest.mark.bug(SCALER)
def test_the_scaler_of_torch_amp_scales_on_the_device_it_is_given(upstream: str) -> None:
    import torch

    assert torch.amp.GradScaler("cpu").is_enabled()
