"""torch.compile beside eager: one cast, and blocks of our models. Each test asserts the correct behaviour."""

from __future__ import annotations

import shutil
import sys

import mps_processes
import pytest
from packaging.version import Version
from small_checks import BLOCKS, CASES, same_when_compiled

from metalassay import bugs
from metalassay.environment import versions

if "torch" not in versions.installed():
    pytest.skip("torch is not installed", allow_module_level=True)

CASTS = "torch-compile-half-casts"
LAYER_NORM = "mps-compiled-layer-norm"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform == "win32" or not any(map(shutil.which, ("c++", "g++", "clang++"))),
        reason="torch.compile needs a C++ compiler, and none is on the PATH",
    ),
]


# Controls of the bug: what a cast keeps is within the roundings of a block.
@pytest.mark.bug(CASTS)
@pytest.mark.parametrize(("dtype", "autocast"), CASES)
@pytest.mark.parametrize("block", BLOCKS)
def test_a_compiled_block_computes_what_the_eager_one_does(
    upstream: str, block: str, dtype: str, autocast: bool
) -> None:
    same_when_compiled(block, dtype, autocast, "cpu")


@pytest.mark.mps
@pytest.mark.long
@pytest.mark.parametrize(("dtype", "autocast"), CASES)
@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_compiled_for_mps_computes_what_the_eager_one_does(
    block: str, dtype: str, autocast: bool
) -> None:
    mps_processes.require_mps()
    import torch

    if Version(torch.__version__) < Version("2.7"):
        pytest.skip(f"torch {torch.__version__} has no Inductor for MPS, which 2.7 brought")
    if bugs.get(LAYER_NORM).hits(versions.installed()):
        pytest.skip(f"masked by {LAYER_NORM}, which fails first")
    same_when_compiled(block, dtype, autocast, "mps")


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
