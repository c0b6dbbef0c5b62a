"""Run every function of compat/mps_child.py on the CPU and on simulated faulty devices; print JSON.

tests/compat/test_mps_hazards.py starts this in a process of its own. A faulty device computes one
operation wrongly, in the way of the bug that the function is meant to find. It affects only what runs
under ``mps_hazards.under_test``.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import mps_child
import mps_hazards
import torch
from torch.overrides import TorchFunctionMode

from metalassay.workloads import cpu_parity

Call = Callable[..., Any]
Fault = Callable[[Call, Any, Any], Any]


def wrong(function: Call, args: Any, kwargs: Any) -> Any:
    """Return a wrong result."""
    return spoiled(function(*args, **kwargs), lambda x: ~x if x.dtype == torch.bool else x + 1)


def unwritten(function: Call, args: Any, kwargs: Any) -> Any:
    """Write nothing, neither in place nor to ``out``."""
    return kwargs.get("out", args[0])


def without_nan(function: Call, args: Any, kwargs: Any) -> Any:
    """Ignore NaN."""
    last = 9.0 if "min" in function.__name__ else -9.0  # a number that is never chosen
    return function(*(x.nan_to_num(last) if torch.is_tensor(x) else x for x in args), **kwargs)


def in_float32(function: Call, args: Any, kwargs: Any) -> Any:
    """Compute integers in float32."""
    return function(args[0].float()).to(args[0].dtype)


def in_int8(function: Call, args: Any, kwargs: Any) -> Any:
    """Compute in eight bits."""
    return function(*args, dtype=torch.int8).long()


def spilt(function: Call, args: Any, kwargs: Any) -> Any:
    """Also write to another cell."""
    function(*args, **kwargs)
    function(args[0], 1, args[2])


def wrong_gradient(function: Call, args: Any, kwargs: Any) -> Any:
    """Return the right result with wrong gradients."""
    leaves = [x for x in flat(args) + flat(tuple(kwargs.values())) if x.requires_grad]
    zero = sum((x - x.detach()).sum() for x in leaves)  # but its gradient is 1
    return spoiled(function(*args, **kwargs), lambda x: x + zero)


def refused(error: Exception) -> Fault:
    """Return a fault that raises ``error`` instead of computing."""

    def refuse(function: Call, args: Any, kwargs: Any) -> Any:
        raise error

    return refuse


def heedless(function: Call, args: Any, kwargs: Any) -> Any:
    """Step even if the scaler found an overflow."""
    return function(*args, **{**kwargs, "found_inf": None})


def elsewhere() -> Fault:
    """Return a fault that overwrites the tensor that was filled last."""
    filled = []

    def write(function: Call, args: Any, kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if function.__name__ == "full":
            filled.append(result)
        elif filled:
            filled[-1].zero_()
        return result

    return write


def spoiled(result: Any, spoil: Call) -> Any:
    """Apply ``spoil`` to a tensor, or to the first of several."""
    return (spoil(result[0]), *result[1:]) if isinstance(result, tuple) else spoil(result)


def flat(values: Any) -> list[Any]:
    """Return the tensors in nested tuples and lists."""
    if torch.is_tensor(values):
        return [values]
    if isinstance(values, (tuple, list)):
        return [x for value in values for x in flat(value)]
    return []


class Faulty(TorchFunctionMode):
    """A mode that calls ``fault`` instead of the functions with these names."""

    def __init__(self, fault: Fault, *names: str) -> None:
        super().__init__()
        self.fault, self.names = fault, names

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if getattr(function, "__name__", "") in self.names:
            return self.fault(function, args, kwargs or {})
        return function(*args, **(kwargs or {}))


SDPA, LINEAR = "scaled_dot_product_attention", "linear"
TOO_LARGE = NotImplementedError("Output channels > 65536 not supported at the MPS device.")
BAD_VIEW = RuntimeError("view size is not compatible with input tensor's size and stride (...)")
FAULTS: dict[str, list[tuple[Any, ...]]] = {
    "in_place_arithmetic_reaches_a_transpose": [(unwritten, "addcmul_"), (unwritten, "addcdiv_")],
    "adam_trains_a_transposed_parameter": [(unwritten, "addcdiv_")],
    "random_numbers_reach_a_transpose": [
        (unwritten, name)
        for name in ("normal_", "uniform_", "exponential_", "bernoulli_", "random_")
    ],
    "bitwise_results_reach_a_gap": [
        (unwritten, name) for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
    ],
    "neighbouring_cells_keep_their_values": [(spilt, "__setitem__")],
    "isfinite_leaves_its_neighbours_alone": [
        (elsewhere(), "full", "isfinite"),
        (elsewhere(), "full", "isinf"),
        (wrong, "isfinite"),
    ],
    "maximum_passes_nan_on": [(without_nan, "maximum"), (without_nan, "minimum")],
    "argmax_finds_nan": [(without_nan, "argmax"), (without_nan, "argmin")],
    "clamp_passes_nan_on": [(without_nan, "clamp")],
    "all_of_nothing_is_true": [(wrong, "all")],
    "cumsum_of_booleans_counts_beyond_127": [(in_int8, "cumsum")],
    "abs_of_large_integers_is_exact": [(in_float32, "abs")],
    "non_blocking_copies_arrive": [(wrong, "to")],
    "linear_takes_a_transposed_weight": [(wrong, LINEAR)],
    "linear_takes_a_transposed_bfloat16_weight": [(wrong, LINEAR)],
    "long_products_end_where_they_should": [(wrong, "__matmul__", "matmul")],
    "long_batched_products_end_where_they_should": [(wrong, "bmm"), (wrong, "einsum")],
    "huge_batched_products_are_right_to_the_last": [(wrong, "bmm")],
    "attention_takes_a_transposed_query": [(wrong, SDPA)],
    "attention_takes_permuted_inputs": [(wrong, SDPA)],
    "attention_shares_keys_among_queries": [(wrong, SDPA)],
    "conv1d_is_right_in_large_dimensions": [(wrong, "conv1d")],
    "conv1d_accepts_large_dimensions": [(refused(TOO_LARGE), "conv1d")],
    "conv2d_is_right_in_large_dimensions": [(wrong, "conv2d")],
    "conv2d_accepts_large_dimensions": [(refused(TOO_LARGE), "conv2d")],
    "conv2d_takes_a_sliced_weight": [(wrong, "conv2d")],
    "batch_norm_trains_on_channels_last": [(wrong_gradient, "batch_norm")],
    "batch_norm_accepts_channels_last": [(refused(BAD_VIEW), "backward")],
    "lstm_hands_gradients_to_a_permuted_input": [(wrong_gradient, "lstm")],
    "normalisation_takes_a_slice": [(wrong, "layer_norm"), (wrong, "batch_norm")],
    "layer_norm_trains_on_a_frozen_input": [(wrong_gradient, "layer_norm")],
    "compiled_layer_norm_is_layer_norm": [(wrong, "layer_norm")],
    "compiled_sum_of_a_broadcast_is_the_sum": [(wrong, "sum")],
    "fused_adam_heeds_found_inf": [(heedless, "_fused_adam_")],
    # Each compares three parts in order, so the fault in the last must not affect the first two.
    "transit_cnn": [(wrong, LINEAR), (wrong_gradient, LINEAR), (unwritten, "addcdiv_")],
    "gpt_tiny": [(wrong, LINEAR), (wrong_gradient, LINEAR), (unwritten, "addcdiv_")],
}


def outcome(function: Callable[[str], None]) -> str:
    """Run on the CPU and return "passed", or the exception's type and message."""
    try:
        function("cpu")
    except Exception as error:  # noqa: BLE001  (the test checks what is raised)
        return f"{type(error).__name__}: {error}"
    return "passed"


def with_fault(function: Callable[[str], None], mode: Faulty) -> str:
    """Run the function with the fault in the device under test."""
    right = mps_hazards.under_test

    def faulty(compute: Call, device: str) -> Any:
        with mode:
            return right(compute, device)

    mps_hazards.under_test = faulty
    try:
        return outcome(function)
    finally:
        mps_hazards.under_test = right


warnings.simplefilter("ignore")
cpu_parity.SAMPLES = 2
print(  # noqa: T201
    json.dumps(
        {
            name: {
                "right": outcome(function),
                "faulty": [with_fault(function, Faulty(*fault)) for fault in FAULTS[name]],
            }
            for name, function in mps_child.functions().items()
        }
    )
)
