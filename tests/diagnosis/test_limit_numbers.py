"""What is calculated from the numbers in a message."""

from __future__ import annotations

from typing import Any

import pytest

from metalassay.bugs import limits
from metalassay.diagnosis import limit_answer, limit_numbers
from metalassay.diagnosis.answers import Found

FULL = (
    "RuntimeError: MPS backend out of memory (MPS allocated: {allocated}, other allocations: {other},"
    " max allowed: {limit}). Tried to allocate {tried} on private pool."
)


def full(allocated: str, other: str, limit: str, tried: str) -> Found:
    text = FULL.format(allocated=allocated, other=other, limit=limit, tried=tried)
    [answer] = limit_answer.find(text, {})
    return answer


def test_a_full_device() -> None:
    answer = full("33.48 GB", "2.45 GB", "36.27 GB", "600.15 MB")
    assert "35.93 GiB are in use, 600.15 MiB more were wanted" in answer.title
    assert "exceeded it by 251.99 MiB" in answer.cause  # 33.48 + 2.45 + 0.586 - 36.27
    assert "here 21.34 GiB" in answer.cause  # 36.27 / 1.7
    assert "per_device_train_batch_size=1" in answer.do[0]
    assert "watermark" in " ".join(answer.not_help)


def test_memory_outside_of_tensors_is_named() -> None:
    answer = full("9.57 GiB", "17.35 GiB", "27.20 GiB", "292.50 MiB")
    assert "17.35 GiB of 26.92 GiB are outside of PyTorch's tensors" in answer.title
    assert "fixed shapes" in answer.do[1]


def test_a_single_large_request_is_named() -> None:
    answer = full("4.00 GB", "1.00 GB", "18.13 GB", "16.00 GB")
    assert answer.title.startswith("One request of 16.00 GiB does not fit")


def test_a_device_that_gives_nothing_is_a_virtual_one() -> None:
    answer = full("0 bytes", "0 bytes", "7.93 GB", "256 bytes")
    assert "Not even 256 bytes could be had" in answer.cause
    assert "virtual machine" in answer.title
    assert "use_cpu=True" in answer.do[0]


def test_without_a_limit_nothing_is_said_about_it() -> None:
    text = FULL.format(allocated="5.00 GB", other="1.00 GB", limit="x", tried="1.00 MB")
    [answer] = limit_answer.find(text.replace(", max allowed: x", ""), {})
    assert "exceeded" not in answer.cause
    assert "6.00 GiB are in use" in answer.title


def test_a_refused_buffer() -> None:
    [answer] = limit_answer.find("RuntimeError: Invalid buffer size: 19.45 GB", {})
    assert answer.title.startswith("A single tensor of 19.45 GiB")
    assert "a square matrix of 72,256 rows" in answer.cause  # the report's matrix has 72,250


@pytest.mark.parametrize(
    ("text", "title", "first"),
    [
        (
            "The global train batch size (1 x 1) must be evenly divisible by the number of"
            " generations per prompt (8).",
            "1 into groups of 8",
            "per_device_train_batch_size=8,",
        ),
        (
            "The global train batch size (3 x 1) must be evenly divisible by the number of"
            " generations per prompt (8).",
            "3 into groups of 8",
            "per_device_train_batch_size=8,",
        ),
        (
            "The effective train batch size (4 x 1 x 3) must be evenly divisible by the number of"
            " generations per prompt (8).",
            "12 into groups of 8",
            "per_device_train_batch_size=2,",
        ),
        (
            "The global eval batch size (1 * 3) must be divisible by num_generations (8).",
            "3 into groups of 8",
            "per_device_train_batch_size=8,",
        ),
        (
            "The global train batch size (1 x 1) must be evenly divisible by the number of"
            " generations per prompt (1).",
            "num_generations=1 has nothing to compare",
            "num_generations=2",
        ),
        (
            "generation_batch_size (4) must be divisible by num_generations (8).",
            "a generation batch of 4",
            "make per_device_train_batch_size",
        ),
    ],
)
def test_groups_that_do_not_divide(text: str, title: str, first: str) -> None:
    [answer] = limit_answer.find(f"ValueError: {text}", {})
    assert title in answer.title
    assert answer.do[0].startswith(first)


@pytest.mark.parametrize("name", sorted(limit_numbers.CALCULATIONS))
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"allocated": "many", "tried": "1 MB", "size": "8", "product": "a", "generations": "8"},
        {"product": "0 x 1", "generations": "8", "columns": "x", "rows": "1"},
        {"product": "1 x 1", "generations": "0"},
    ],
)
def test_what_cannot_be_calculated_is_left_out(name: str, values: dict[str, str]) -> None:
    assert limit_numbers.CALCULATIONS[name](values) == {}


def test_only_the_announced_values_are_calculated() -> None:
    messages: dict[str, Any] = {
        "memory": {"allocated": "1 GB", "other": "1 GB", "limit": "2 GB", "tried": "1 GB"},
        "buffer": {"size": "1 GB"},
        "grpo": {"product": "2 x 3", "generations": "4"},
        "shapes": {"columns": "3", "rows": "4"},
    }
    assert limit_numbers.CALCULATIONS.keys() == limits.NUMBERS.keys() == messages.keys()
    for name, values in messages.items():
        assert limit_numbers.CALCULATIONS[name](values).keys() == set(limits.NUMBERS[name])
