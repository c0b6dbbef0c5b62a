"""The numbers in the truths of claims/, computed; each test's name holds that of its function."""

from __future__ import annotations

import pytest

from metalassay.claims import arithmetic
from metalassay.claims import catalogue as claims


def says(claim_id: str, *words: str) -> None:
    """Assert that a claim's truth holds these words, which a test has just computed."""
    truth = claims.get(claim_id).truth
    for each in words:
        assert each in truth, f"{claim_id}: {each!r} is not in {truth!r}"


def test_share_of_bandwidth_at_the_guides_speeds() -> None:
    def between(counts: tuple[float, float], samples_s: float, gb_s: float) -> str:
        shares = [arithmetic.share_of_bandwidth(samples_s, each, gb_s) for each in counts]
        return " to ".join(f"{100 * share:.0f}" for share in shares)

    train, infer = arithmetic.TRAIN_BYTES, arithmetic.INFER_BYTES
    says("bandwidth-utilisation", f"{between(train, 2850, 120)} % (M4)")
    says("bandwidth-utilisation", f"{between(train, 5420, 273)} % (M4 Pro) in training")
    says(
        "bandwidth-utilisation", f"{between(infer, 12500, 120)} and {between(infer, 18750, 273)} %"
    )


def test_implied_gflop_s_of_the_guides_speeds_are_within_both_gpus() -> None:
    train = [arithmetic.implied_gflop_s(s, arithmetic.TRAIN_FLOP) for s in (2850, 5420)]
    infer = [arithmetic.implied_gflop_s(s, arithmetic.INFER_FLOP) for s in (12500, 18750)]
    says("train-samples-per-second", " and ".join(f"{each:.0f}" for each in train))
    says("inference-samples-per-second", " and ".join(f"{each:.0f}" for each in infer))
    assert max(train + infer) < 1000 * 2.9  # the least that somebody measured on an M4's GPU


def test_bytes_per_sample_differ_between_the_two_macs_whatever_the_model() -> None:
    base = arithmetic.bytes_per_sample(0.85, 120, 2850)
    pro = arithmetic.bytes_per_sample(0.92, 273, 5420)
    assert (round(base / 1e6, 1), round(pro / 1e6, 1)) == (35.8, 46.3)
    says("same-model-same-bytes", f"{pro / base:.2f} times", "35.8 and 46.3 MB")


def test_bus_bandwidth_of_the_pro_and_of_other_chips() -> None:
    buses = [arithmetic.bus_bandwidth(*bus) for bus in ((256, 8533), (128, 8533), (256, 8000))]
    assert [round(each, 1) for each in buses] == [273.1, 136.5, 256.0]
    says("twice-an-ai-pc", "136.5", "256 GB/s")


def test_speedup_column_of_the_table() -> None:
    rows = ((2850, 5420), (12500, 18750), (64, 256), (20, 35))
    assert [round(arithmetic.speedup(*row), 2) for row in rows] == [1.9, 1.5, 4.0, 1.75]
    assert round(arithmetic.speedup(85, 92), 2) == 1.08
    says("table-ratios", "1.90, 1.50, 4 and 1.75", "1.08")


def test_speedup_of_a_smaller_model_is_not_an_optimisation() -> None:
    assert arithmetic.speedup(0.4, 5) == pytest.approx(12.5)
    smaller = arithmetic.speedup(13_568, 2_526_240)
    says("steps-12-times-faster", f"{smaller:.0f} times")


def test_speedup_column_hides_that_the_small_model_is_larger() -> None:
    larger = arithmetic.speedup(66_000, 24_040_328)
    says("small-has-66-thousand-parameters", f"{larger:.0f} times")


def test_speedup_of_loading_memory_and_steps_is_computed_correctly() -> None:
    assert [arithmetic.speedup(*pair) for pair in ((1, 30), (0.5, 4), (1, 8))] == [30, 8, 8]
    assert [arithmetic.speedup(*pair) for pair in ((500, 10_000), (100, 10_000))] == [20, 100]
    says("converges-20-times-sooner", "20 to 100")


def test_speedup_cannot_hide_that_80_is_more_than_70() -> None:
    assert arithmetic.speedup(70, 80) > 1
    says("lower-the-limit-to-80", "80", "70")


def test_samples_per_joule_of_both_macs() -> None:
    base, pro = arithmetic.samples_per_joule(2850, 20), arithmetic.samples_per_joule(5420, 35)
    assert (base, round(pro, 1), round(pro / base, 2)) == (142.5, 154.9, 1.09)
    says("samples-per-watt", "142.5", "154.9", "1.09")


def test_activation_megabytes_grow_with_the_batch() -> None:
    kept = [arithmetic.activation_megabytes(batch) for batch in (1, 64, 256)]
    assert kept[1] == 64 * kept[0]
    assert [round(each) for each in kept[1:]] == [104, 417]
    says("smaller-batch-less-memory", "1.63 MB")
    says("maximum-batch", "104 and 417 MB")


def test_largest_batch_that_12_gb_hold() -> None:
    assert arithmetic.largest_batch(12) == 7361
    says("twenty-four-gigabytes", "7,361")


def test_memory_beside_batch_that_would_make_24_gb_hold_four_times_as_much() -> None:
    fixed = arithmetic.memory_beside_batch((16, 24), (64, 256))
    assert arithmetic.memory_beside_batch((16, 64), (64, 256)) == 0  # four times the memory
    says("maximum-batch", f"{fixed:.1f} GB")


def test_found_by_search_is_not_true_of_a_batch_of_256() -> None:
    tried = (128, 64, 32, 16, 8)
    assert arithmetic.found_by_search(tried, 64)
    assert not arithmetic.found_by_search(tried, 256)
    says("search-finds-the-maximum", "128", "256")


def test_accumulated_steps_leave_the_last_batches_out() -> None:
    assert arithmetic.accumulated_steps(8, 4) == (2, 0)
    assert arithmetic.accumulated_steps(10, 4) == (2, 2)
    says("accumulation-fixes-overflow", "of 10 batches 2")


def test_gpt_parameters_of_the_three_sizes() -> None:
    tiny = arithmetic.gpt_parameters(372, 64, 2, 16)
    assert tiny == 13_568
    assert arithmetic.gpt_parameters(2000, 128, 2, 24) == 65_568
    assert arithmetic.gpt_parameters(2000, 256, 7, 160) == 2_526_240


def test_most_channels_of_13568_parameters_with_2000_tokens() -> None:
    assert arithmetic.most_channels(13_568, 2000) == 6
    # As a GPT-2: no shape with more than 4 channels has exactly this number.
    shapes = {
        channels
        for channels in range(1, 7)
        for layers in range(1, 200)
        for context in range(1, 4000)
        if arithmetic.gpt_parameters(2000, context, layers, channels) == 13_568
    }
    assert max(shapes) == 4
    says("tiny-has-13568-parameters", "6 channels", "4 channels")


def test_mebibytes_of_the_three_sizes() -> None:
    weights = [arithmetic.mebibytes(n, 4) for n in (13_568, 65_568, 2_526_240)]
    assert [round(each, 2) for each in weights] == [0.05, 0.25, 9.64]
    three = [arithmetic.mebibytes(n, 12) for n in (13_568, 65_568, 2_526_240)]
    assert [round(each, 1) for each in three] == [0.2, 0.8, 28.9]
    trained = [arithmetic.mebibytes(n, 16) for n in (13_568, 2_526_240)]
    assert [round(each, 2) for each in trained] == [0.21, 38.55]
    says("model-memory", "0.05, 0.25 and 9.64 MiB", "12 bytes")
    says("training-memory", "0.21 MiB")


def test_mebibytes_of_the_models_that_the_program_builds() -> None:
    weights = [arithmetic.mebibytes(n, 4) for n in (1_307_344, 24_040_328)]
    assert [round(each) for each in weights] == [5, 92]
    says("model-memory", "5 and 92 MiB")
    says("training-memory", f"{arithmetic.mebibytes(1_307_344, 16):.1f} MiB")


def test_loss_of_guessing_is_below_what_the_guide_starts_at() -> None:
    assert arithmetic.loss_of_guessing(2000) == pytest.approx(7.601, abs=5e-4)
    assert arithmetic.loss_of_guessing(2000) < 7.8945 < 8.2156 < 8.7234
    says("loss-starts-at-8", "7.60")
    says("fluent-after-20-steps", "7.89", "7.60")


def test_tokens_to_choose_from_at_the_losses_of_the_guide() -> None:
    assert [round(arithmetic.tokens_to_choose_from(loss)) for loss in (2, 4)] == [7, 55]
    assert [round(arithmetic.tokens_to_choose_from(loss)) for loss in (8, 10)] == [2981, 22026]
    says("loss-2-to-4-is-intelligent", "7 to 55")
    says("loss-starts-at-8", "2,981 to 22,026")


def test_batches_of_50_rows_and_of_200() -> None:
    assert arithmetic.batches_of(50, 4) == 13
    assert arithmetic.batches_of(200, 4) == 50
    # The epochs that the log prints beside its steps.
    assert [step // 13 for step in (10, 20)] == [0, 1]
    says("fifty-rows-thirteen-batches", "13")


def test_passes_over_50_rows_in_200_steps() -> None:
    says("loss-2-to-4-is-intelligent", f"{arithmetic.passes(200, 50, 4):.0f} times")


def test_minutes_for_200_steps_at_the_guides_speeds() -> None:
    slow, fast = arithmetic.minutes_for(200, 2), arithmetic.minutes_for(200, 5)
    assert (round(fast, 1), round(slow, 1)) == (0.7, 1.7)
    says("tiny-takes-ten-minutes", "0.7 to 1.7 minutes")
    program = [arithmetic.minutes_for(500, speed) for speed in (5, 2)]
    says("tiny-takes-ten-minutes", " to ".join(f"{each:.1f}" for each in program))


def test_minutes_for_the_1500_steps_of_the_small_configuration() -> None:
    slow, fast = arithmetic.minutes_for(1500, 0.56), arithmetic.minutes_for(1500, 0.83)
    assert (round(fast), round(slow)) == (30, 45)
    says("small-takes-half-an-hour", "0.56 to 0.83 steps/s")


def test_polled_share_is_all_half_or_nothing_whatever_the_limit() -> None:
    alone = [arithmetic.polled_share(1, 0, limit) for limit in (0.5, 0.7, 0.85)]
    assert [round(100 * share) for share in alone] == [50, 50, 50]
    assert arithmetic.polled_share(0.6, 0, 0.7) == 1  # never above it
    assert arithmetic.polled_share(0.1, 0.75, 0.7) < 0.001  # others are: it never goes on
    says("pause-at-70-percent", "half of the time", "not at all")


def test_macos_of_darwin_24_is_15() -> None:
    assert arithmetic.macos_of_darwin("23.5.0") == "14.5"
    assert arithmetic.macos_of_darwin("24.5.0") == "15.5"
    with pytest.raises(ValueError, match="20 to 24"):
        arithmetic.macos_of_darwin("25.0.0")
    says("the-example-is-one-machine", "15.5")


def test_third_word_of_the_line_of_top_is_the_users_share_alone() -> None:
    line = "CPU usage: 12.50% user, 8.33% sys, 79.16% idle"
    assert arithmetic.third_word(line) == "12.50"
    says("cpu-usage-from-top", "user")
