"""MPS compared with the CPU, for operations that it has computed wrongly in some release.

The hazards are functions of mps_hazards.py. Those that are expected to pass share a process as long as they
do; whatever else happens is decided by a process of its own. Our own tests (tests/compat) run them on the
CPU and on simulated faulty devices.
"""

from __future__ import annotations

import mps_processes
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.mps]


# There is no patch for any of them, so only the stock library is run.
@pytest.mark.parametrize("upstream", ["stock"], indirect=True)
@pytest.mark.parametrize(
    "hazard",
    [
        pytest.param(
            "in_place_arithmetic_reaches_a_transpose",
            marks=pytest.mark.bug("mps-in-place-transpose-unwritten", symptom="unwritten"),
        ),
        pytest.param(
            "adam_trains_a_transposed_parameter",
            marks=pytest.mark.bug("mps-in-place-transpose-unwritten", symptom="untrained"),
        ),
        pytest.param(
            "random_numbers_reach_a_transpose",
            marks=pytest.mark.bug("mps-random-transpose-unwritten", symptom="unwritten"),
        ),
        pytest.param(
            "bitwise_results_reach_a_gap",
            marks=pytest.mark.bug("mps-bitwise-strided-out", symptom="wrong"),
        ),
        pytest.param(
            "neighbouring_cells_keep_their_values",
            marks=pytest.mark.bug("mps-neighbouring-assignments", symptom="overwritten"),
        ),
        pytest.param(
            "isfinite_leaves_its_neighbours_alone",
            marks=[
                pytest.mark.bug("mps-isfinite-writes-elsewhere", symptom="overwritten"),
                pytest.mark.long,  # 3 GB, five times
            ],
        ),
        pytest.param(
            "maximum_passes_nan_on",
            marks=pytest.mark.bug("mps-maximum-drops-nan", symptom="dropped"),
        ),
        pytest.param(
            "argmax_finds_nan",
            marks=pytest.mark.bug("mps-argmax-ignores-nan", symptom="passed-over"),
        ),
        pytest.param(
            "clamp_passes_nan_on", marks=pytest.mark.bug("mps-clamp-drops-nan", symptom="dropped")
        ),
        pytest.param(
            "all_of_nothing_is_true",
            marks=pytest.mark.bug("mps-all-of-empty-axis", symptom="garbage"),
        ),
        pytest.param(
            "cumsum_of_booleans_counts_beyond_127",
            marks=pytest.mark.bug("mps-bool-cumsum-overflow", symptom="overflow"),
        ),
        pytest.param(
            "abs_of_large_integers_is_exact",
            marks=pytest.mark.bug("mps-abs-rounds-integers", symptom="rounded"),
        ),
        pytest.param(
            "non_blocking_copies_arrive",
            marks=pytest.mark.bug("mps-non-blocking-copy", symptom="garbage"),
        ),
        pytest.param(
            "linear_takes_a_transposed_weight",
            marks=pytest.mark.bug("mps-linear-transposed-weight", symptom="wrong"),
        ),
        pytest.param(
            "linear_takes_a_transposed_bfloat16_weight",
            marks=pytest.mark.bug("mps-linear-bfloat16-abort", symptom="aborted"),
        ),
        pytest.param(
            "long_products_end_where_they_should",
            marks=pytest.mark.bug("mps-long-matmul", symptom="sum"),
        ),
        pytest.param(
            "long_batched_products_end_where_they_should",
            marks=pytest.mark.bug("mps-long-bmm", symptom="sum"),
        ),
        pytest.param(
            "huge_batched_products_are_right_to_the_last",
            marks=[
                pytest.mark.bug("mps-huge-bmm", symptom="wrong"),
                pytest.mark.long,  # 12 GB
            ],
        ),
        pytest.param(
            "attention_takes_a_transposed_query",
            marks=pytest.mark.bug("mps-sdpa-transposed-query", symptom="wrong"),
        ),
        pytest.param(
            "attention_takes_permuted_inputs",
            marks=pytest.mark.bug("mps-sdpa-permuted", symptom="wrong"),
        ),
        pytest.param(
            "attention_shares_keys_among_queries",
            marks=pytest.mark.bug("mps-sdpa-shared-keys", symptom="wrong"),
        ),
        pytest.param(
            "conv1d_is_right_in_large_dimensions",
            marks=pytest.mark.bug("mps-conv1d-beyond-65536", symptom="wrong"),
        ),
        pytest.param(
            "conv1d_accepts_large_dimensions",
            marks=pytest.mark.bug("mps-conv1d-beyond-65536", symptom="refused"),
        ),
        pytest.param(
            "conv2d_is_right_in_large_dimensions",
            marks=pytest.mark.bug("mps-conv2d-beyond-65536", symptom="wrong"),
        ),
        pytest.param(
            "conv2d_accepts_large_dimensions",
            marks=pytest.mark.bug("mps-conv2d-beyond-65536", symptom="refused"),
        ),
        pytest.param(
            "conv2d_takes_a_sliced_weight",
            marks=pytest.mark.bug("mps-conv2d-sliced-weight", symptom="wrong"),
        ),
        pytest.param(
            "batch_norm_trains_on_channels_last",
            marks=pytest.mark.bug("mps-batch-norm-channels-last", symptom="wrong"),
        ),
        pytest.param(
            "batch_norm_accepts_channels_last",
            marks=pytest.mark.bug("mps-batch-norm-channels-last", symptom="refused"),
        ),
        pytest.param(
            "lstm_hands_gradients_to_a_permuted_input",
            marks=pytest.mark.bug("mps-lstm-permuted-input", symptom="wrong"),
        ),
        pytest.param(
            "normalisation_takes_a_slice",
            marks=pytest.mark.bug("mps-norm-of-slice", symptom="wrong"),
        ),
        pytest.param(
            "layer_norm_trains_on_a_frozen_input",
            marks=pytest.mark.bug("mps-layer-norm-frozen-input", symptom="wrong"),
        ),
        pytest.param(
            "compiled_layer_norm_is_layer_norm",
            marks=[
                pytest.mark.bug("mps-compiled-layer-norm", symptom="wrong"),
                pytest.mark.long,  # the first torch.compile takes about a minute
            ],
        ),
        pytest.param(
            "compiled_sum_of_a_broadcast_is_the_sum",
            marks=[
                pytest.mark.bug("mps-compiled-broadcast-sum", symptom="doubled"),
                pytest.mark.long,  # the first torch.compile takes about a minute
            ],
        ),
        pytest.param(
            "fused_adam_heeds_found_inf",
            marks=pytest.mark.bug("mps-fused-adam-ignores-overflow", symptom="stepped"),
        ),
    ],
)
def test_mps_computes_what_the_cpu_does(
    request: pytest.FixtureRequest, upstream: str, hazard: str
) -> None:
    mps_processes.run_function(hazard, shared=mps_processes.may_share(request.node))


@pytest.mark.parametrize("workload", ["transit_cnn", "gpt_tiny"])
def test_a_workload_learns_on_mps_what_it_learns_on_the_cpu(
    request: pytest.FixtureRequest, workload: str
) -> None:
    mps_processes.run_function(workload, shared=mps_processes.may_share(request.node))
