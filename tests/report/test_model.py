"""How a report writes numbers and counts."""

from __future__ import annotations

import pytest

from metalassay.report.model import Roofline, counted, not_shown, significant


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1234.0, "1,230"),
        (1235.1, "1,240"),
        (999.6, "1,000"),
        (99.96, "100"),
        (12.345, "12.3"),
        (1.0, "1.00"),
        (0.012345, "0.0123"),
        (123456789.0, "123,000,000"),
        (1e-9, "1.00e-09"),
        (1.5e300, "1.50e+300"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert significant(value) == text


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1.7976e308, -1e300, 5e-324])
def test_any_number_can_be_written(value: float) -> None:
    assert "e" in significant(value) or "inf" in significant(value)


def test_nouns_agree_with_their_number() -> None:
    assert counted(1, "search", "searches") == "1 search"
    assert counted(2000, "search", "searches") == "2,000 searches"
    assert counted(0, "file") == "0 files"
    assert not_shown(1, "further row") == "1 further row is not shown."
    assert (
        not_shown(3, "older run", " of the same", "drawn")
        == "3 older runs of the same are not drawn."
    )


def test_a_roofline_is_bandwidth_up_to_the_ridge_and_arithmetic_beyond() -> None:
    roofline = Roofline("measured", gflop_s=2000.0, gb_s=100.0)
    assert roofline.at(400) == 2000
    assert roofline.at(20) == 2000
    assert roofline.at(10) == 1000
