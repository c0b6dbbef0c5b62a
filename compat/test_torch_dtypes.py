"""What each dtype costs in accuracy: a convolution block and an attention block against float64.

The error of the output, the loss and each gradient is at most what the dtype's roundings explain, and not so small
that another dtype must have been used.
"""

from __future__ import annotations

import mps_processes
import pytest
from small_checks import BLOCKS, CASES, accurate

from metalassay.environment import versions

if "torch" not in versions.installed():
    pytest.skip("torch is not installed", allow_module_level=True)


# The control of the bug: without torch.compile, a block rounds as its dtype says.
@pytest.mark.bug("torch-compile-half-casts")
@pytest.mark.parametrize(("dtype", "autocast"), CASES)
@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_as_accurate_as_its_dtype(
    upstream: str, block: str, dtype: str, autocast: bool
) -> None:
    accurate(block, dtype, autocast, "cpu")


@pytest.mark.slow
@pytest.mark.mps
@pytest.mark.parametrize(("dtype", "autocast"), CASES)
@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_on_mps_is_as_accurate_as_its_dtype(block: str, dtype: str, autocast: bool) -> None:
    mps_processes.require_mps()
    accurate(block, dtype, autocast, "mps")
