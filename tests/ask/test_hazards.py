"""Known bugs of MPS by the operators of a step: each row fits its own test in compat, and not what is unlike it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mps_hazards
import pytest
import torch
from torch import nn

from metalassay import bugs
from metalassay.ask import contract, hazards
from metalassay.bugs.catalogue import Calls

TESTS = [
    ("in_place_arithmetic_reaches_a_transpose", "mps-in-place-transpose-unwritten"),
    ("adam_trains_a_transposed_parameter", "mps-in-place-transpose-unwritten"),
    ("random_numbers_reach_a_transpose", "mps-random-transpose-unwritten"),
    ("bitwise_results_reach_a_gap", "mps-bitwise-strided-out"),
    ("neighbouring_cells_keep_their_values", "mps-neighbouring-assignments"),
    ("isfinite_leaves_its_neighbours_alone", "mps-isfinite-writes-elsewhere"),
    ("maximum_passes_nan_on", "mps-maximum-drops-nan"),
    ("argmax_finds_nan", "mps-argmax-ignores-nan"),
    ("clamp_passes_nan_on", "mps-clamp-drops-nan"),
    ("all_of_nothing_is_true", "mps-all-of-empty-axis"),
    ("cumsum_of_booleans_counts_beyond_127", "mps-bool-cumsum-overflow"),
    ("abs_of_large_integers_is_exact", "mps-abs-rounds-integers"),
    ("non_blocking_copies_arrive", "mps-non-blocking-copy"),
    ("linear_takes_a_transposed_weight", "mps-linear-transposed-weight"),
    ("linear_takes_a_transposed_bfloat16_weight", "mps-linear-bfloat16-abort"),
    ("long_products_end_where_they_should", "mps-long-matmul"),
    ("long_batched_products_end_where_they_should", "mps-long-bmm"),
    ("attention_takes_a_transposed_query", "mps-sdpa-transposed-query"),
    ("attention_takes_permuted_inputs", "mps-sdpa-permuted"),
    ("attention_shares_keys_among_queries", "mps-sdpa-shared-keys"),
    ("conv1d_is_right_in_large_dimensions", "mps-conv1d-beyond-65536"),
    ("conv1d_accepts_large_dimensions", "mps-conv1d-beyond-65536"),
    ("conv2d_is_right_in_large_dimensions", "mps-conv2d-beyond-65536"),
    ("conv2d_accepts_large_dimensions", "mps-conv2d-beyond-65536"),
    ("conv2d_takes_a_sliced_weight", "mps-conv2d-sliced-weight"),
    ("batch_norm_trains_on_channels_last", "mps-batch-norm-channels-last"),
    ("batch_norm_accepts_channels_last", "mps-batch-norm-channels-last"),
    ("lstm_hands_gradients_to_a_permuted_input", "mps-lstm-permuted-input"),
    ("normalisation_takes_a_slice", "mps-norm-of-slice"),
    ("layer_norm_trains_on_a_frozen_input", "mps-layer-norm-frozen-input"),
]
"""The functions of compat/mps_hazards.py, each with the known bug that it finds."""
TEXT = """
import torch
from torch import nn
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.lstm = nn.LSTM(4, 4)
    def forward(self, x):
        return self.lstm(self.norm(x).transpose(0, 1))[0]
def make(batch_size):
    return Model(), {"x": torch.randn(batch_size, 5, 4)}
"""


def recorded(*names: str) -> hazards.Recorder:
    return hazards.Recorder(frozenset(names))


@pytest.mark.parametrize(("function", "bug_id"), TESTS)
def test_a_row_fits_what_its_own_test_calls(function: str, bug_id: str) -> None:
    bug = bugs.get(bug_id)
    assert bug.calls is not None
    recorder = recorded(*bug.calls.operators)
    with recorder.running():
        try:
            getattr(mps_hazards, function)("cpu")
        except mps_hazards.UnsupportedError:
            pytest.skip("this torch has no such case")
    assert hazards.met(bug.calls, recorder)


def test_every_row_is_tried_that_can_be_on_a_cpu() -> None:
    rows = {bug.id for bug in bugs.load() if bug.calls and "compiled" not in bug.calls.inputs}
    assert rows == {bug_id for _, bug_id in TESTS}


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (Calls(("linear",)), True),
        (Calls(("conv2d",)), False),
        (Calls(("linear",), frozenset({"strided"}), 1), True),
        (Calls(("linear",), frozenset({"strided"}), 0), False),
        (Calls(("linear",), frozenset({"strided", "half"}), 1), False),
        (Calls(("linear",), frozenset({"nan"})), False),
        (Calls(("linear",), longer_than=7), True),
        (Calls(("linear",), longer_than=8), False),
        (Calls(("linear",), argument=0, dimension=-2, at_most=3), True),
        (Calls(("linear",), argument=0, dimension=-2, at_most=2), False),
    ],
)
def test_a_call_fits_by_what_it_took(calls: Calls, expected: bool) -> None:
    recorder = recorded("linear", "conv2d")
    with recorder.running():
        nn.functional.linear(torch.randn(3, 8), torch.randn(8, 5).t())
    assert bool(hazards.met(calls, recorder)) is expected


@pytest.mark.parametrize(
    ("where", "versions", "expected"),
    [
        ("mps-lstm-permuted-input", {"torch": "2.13.0"}, True),
        ("mps-lstm-permuted-input", {"torch": "2.9.1"}, False),
        ("mps-lstm-permuted-input", {"torch": "2.13.0", "macos": "11.0", "apple-silicon": "2"}, False),
        ("mps-long-bmm", {"torch": "2.13.0", "macos": "15.1", "apple-silicon": "4"}, False),
        ("mps-long-bmm", {"torch": "2.13.0", "macos": "15.1"}, True),  # no Mac that we know: it may be
    ],
)  # fmt: skip
def test_versions_decide(where: str, versions: dict[str, str], expected: bool) -> None:
    assert hazards.may_hit(bugs.get(where), versions) is expected


@pytest.fixture
def found(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "mine.py"
    path.write_text(TEXT, "utf-8")
    return hazards.ask(contract.File(path), 3, "2.12.1")


def test_a_step_has_the_hazards_of_its_operators_and_lines(found: dict[str, Any]) -> None:
    rows = {row["id"]: row for row in found["rows"]}
    assert found["torch"] == "2.12.1"
    assert rows["mps-lstm-permuted-input"]["operators"] == ["lstm"]
    assert rows["mps-lstm-permuted-input"]["place"] == "mine.py:10"
    assert rows["mps-layer-norm-frozen-input"]["place"] == "mine.py:10"
    assert "contiguous" in rows["mps-lstm-permuted-input"]["fix"]
    assert "mps-linear-transposed-weight" not in rows
