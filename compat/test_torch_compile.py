"""torch.compile on the CPU beside eager. Each test asserts the correct behaviour."""

from __future__ import annotations

import shutil
import sys

import pytest

from metalassay.environment import versions

if "torch" not in versions.installed():
    pytest.skip("torch is not installed", allow_module_level=True)

CASTS = "torch-compile-half-casts"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform == "win32" or not any(map(shutil.which, ("c++", "g++", "clang++"))),
        reason="torch.compile needs a C++ compiler, and none is on the PATH",
    ),
]


@pytest.mark.bug(CASTS, symptom="kept")
def test_a_compiled_cast_to_float16_rounds(upstream: str) -> None:
    import torch

    def rounded(x: torch.Tensor) -> torch.Tensor:
        return x.to(torch.float16).to(torch.float32)

    x = torch.arange(20, dtype=torch.float32) / 7
    assert not torch.equal(rounded(x), x)
    torch._dynamo.reset()
    same = torch.equal(torch.compile(rounded)(x), rounded(x))
    assert same, "the compiled cast to float16 kept the digits of float32"


@pytest.mark.bug(CASTS, symptom="not-emulated")
def test_a_compiled_cast_rounds_where_inductor_is_told_to_emulate_it(upstream: str) -> None:
    import torch
    from torch._inductor import config

    def rounded(x: torch.Tensor) -> torch.Tensor:
        return x.to(torch.float16).to(torch.float32)

    if not hasattr(config, "emulate_precision_casts"):
        pytest.skip(f"torch {torch.__version__} has no emulate_precision_casts")
    x = torch.arange(20, dtype=torch.float32) / 7
    torch._dynamo.reset()
    with config.patch(emulate_precision_casts=True):
        same = torch.equal(torch.compile(rounded)(x), rounded(x))
    assert same, "emulate_precision_casts did not bring the cast back"
