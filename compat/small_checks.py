"""What the small blocks are held to: eager to float64, and compiled to eager.

Nothing here imports torch before a check begins, so that tests are collected quickly.
"""

from __future__ import annotations

import pytest

BLOCKS = ["convolution", "attention"]
CASES = [
    pytest.param("float32", False, id="float32"),
    pytest.param("bfloat16", False, id="bfloat16"),
    pytest.param("float16", False, id="float16"),
    pytest.param("bfloat16", True, id="autocast-bfloat16"),
]
"""The name of a dtype, and whether it is that of autocast."""


def accurate(block: str, dtype_name: str, autocast: bool, device: str) -> None:
    """Assert that a block is as near to float64 as its dtype allows, and no nearer than it can be."""
    import small_models
    import torch

    dtype = getattr(torch, dtype_name)
    try:
        found = small_models.results(block, dtype, autocast=autocast, device=device)
    except (RuntimeError, TypeError) as error:
        skip_if_refused(error)
        raise
    errors = dict(small_models.errors(found, small_models.exact(block)))
    most = small_models.limit(dtype, device)
    wrong = {what: f"{error:.2g}" for what, error in errors.items() if not error <= most}
    assert not wrong, f"errors beyond {most:.2g}, which {dtype} explains: {wrong}"
    least = small_models.UNIT[dtype] / 8
    largest = max(errors.values())
    assert largest >= least, f"an error of {largest:.2g} is too small for {dtype}"


def same_when_compiled(block: str, dtype_name: str, autocast: bool, device: str) -> None:
    """Assert that a compiled block has the results of the eager one.

    Where Inductor leaves out a rounding, its result is nearer to the exact one. So the two differ by no more than
    the roundings of the eager pass, of which there are as many as of any pass.
    """
    import small_models
    import torch

    dtype = getattr(torch, dtype_name)
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    try:
        eager = small_models.results(block, dtype, autocast=autocast, device=device)
        compiled = small_models.results(
            block, dtype, autocast=autocast, device=device, compiled=True
        )
    except (RuntimeError, TypeError) as error:
        skip_if_refused(error)
        raise
    assert counters["stats"]["unique_graphs"] == 1, "nothing was compiled"
    assert {what: each.dtype for what, each in compiled.items()} == {
        what: each.dtype for what, each in eager.items()
    }
    most = small_models.limit(dtype, device)
    wrong = {
        what: f"{error:.2g}"
        for what, error in small_models.errors(compiled, eager)
        if not error <= most
    }
    assert not wrong, f"compiled differs from eager by more than {most:.2g}: {wrong}"


def skip_if_refused(error: Exception) -> None:
    """Skip the test if this torch is too old for a dtype, for this Python, or for this macOS."""
    import small_models

    if any(words in str(error) for words in small_models.REFUSALS):
        pytest.skip(f"this torch refuses: {error}")
