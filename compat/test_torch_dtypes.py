"""What each dtype costs in accuracy: a convolution block and an attention block against float64.

The error of the output, the loss and each gradient is at most what the dtype's roundings explain, and not so small
that another dtype must have been used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mps_processes
import pytest

from metalassay.environment import versions

if "torch" not in versions.installed():
    pytest.skip("torch is not installed", allow_module_level=True)

if TYPE_CHECKING:
    import torch

BLOCKS = ["convolution", "attention"]
CASES = [
    pytest.param("float32", False, id="float32"),
    pytest.param("bfloat16", False, id="bfloat16"),
    pytest.param("float16", False, id="float16"),
    pytest.param("bfloat16", True, id="autocast-bfloat16"),
]


def dtype_of(name: str) -> torch.dtype:
    import torch

    found: torch.dtype = getattr(torch, name)
    return found


def check(block: str, dtype: torch.dtype, autocast: bool, device: str) -> None:
    import small_models

    try:
        found = small_models.results(block, dtype, autocast=autocast, device=device)
    except (RuntimeError, TypeError) as error:
        if any(words in str(error) for words in small_models.REFUSALS):
            pytest.skip(f"this torch refuses {dtype}: {error}")
        raise
    errors = dict(small_models.errors(found, small_models.exact(block)))
    most = small_models.limit(dtype, device)
    wrong = {what: f"{error:.2g}" for what, error in errors.items() if not error <= most}
    assert not wrong, f"errors beyond {most:.2g}, which {dtype} explains: {wrong}"
    least = small_models.UNIT[dtype] / 8
    largest = max(errors.values())
    assert largest >= least, f"an error of {largest:.2g} is too small for {dtype}"


# The control of the bug: without torch.compile, a block rounds as its dtype says.
@pytest.mark.bug("torch-compile-half-casts")
@pytest.mark.parametrize(("dtype", "autocast"), CASES)
@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_as_accurate_as_its_dtype(
    upstream: str, block: str, dtype: str, autocast: bool
) -> None:
    check(block, dtype_of(dtype), autocast, "cpu")


@pytest.mark.slow
@pytest.mark.mps
@pytest.mark.parametrize(("dtype", "autocast"), CASES)
@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_on_mps_is_as_accurate_as_its_dtype(block: str, dtype: str, autocast: bool) -> None:
    mps_processes.require_mps()
    check(block, dtype_of(dtype), autocast, "mps")
