"""The file of a calibration: what is written is read again, and nothing in it is taken on trust."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from metalassay.fields import FieldError
from metalassay.results import calibration_file
from metalassay.results.calibration_file import Bin, Calibration

GOOD = Calibration((Bin(0.0, 0.2, 10, 1, 0.15), Bin(0.8, 1.0, 30, 30, 0.9)), 0.04)


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(calibration_file.to_json(GOOD, "own"))
    change(document)
    return json.dumps(document).encode()


def first(**values: Any) -> bytes:
    return changed(lambda top: top["bins"][0].update(values))


def test_what_is_written_is_read_again() -> None:
    text = calibration_file.to_json(GOOD, "synthetic")
    assert calibration_file.parse(text.encode()) == (GOOD, "synthetic")
    assert calibration_file.is_calibration(text.encode())
    assert json.loads(text)["schema"] == "metalassay.calibration/1"


def test_the_error_weighs_the_bins_by_their_curves() -> None:
    assert (GOOD.count, GOOD.planets) == (40, 31)
    assert GOOD.error == pytest.approx((10 * 0.05 + 30 * 0.1) / 40)


def test_a_figure_that_json_cannot_express_is_not_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        calibration_file.to_json(Calibration(GOOD.bins, float("nan")), "own")


def test_rounding_at_an_edge_of_a_bin_is_no_fault() -> None:
    edge = Calibration((Bin(0.2, 0.4, 1, 0, 0.4 + 1e-12), Bin(0.4 - 1e-12, 1.0, 1, 1, 1.0)), 0.1)
    assert calibration_file.parse(calibration_file.to_json(edge, "own").encode())[0] == edge


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "cannot be read"),
        (b"[]", "top level: expected an object"),
        (changed(lambda top: top.update(schema="metalassay.calibration/2")), "schema: expected"),
        (changed(lambda top: top.update(source="stolen")), "source: expected one of"),
        (changed(lambda top: top.pop("bins")), "bins is missing"),
        (changed(lambda top: top.update(bins=[])), "bins: expected 1 to 1000 of them, found 0"),
        (changed(lambda top: top.update(bins=top["bins"] * 501)), "found 1,002"),
        (changed(lambda top: top["bins"].reverse()), r"bins\[1\].low: expected at least 1"),
        (changed(lambda top: top.update(brier=float("nan"))), "brier: expected a number"),
        (changed(lambda top: top.update(brier=1.5)), "brier: expected a number from 0 to 1"),
        (changed(lambda top: top.update(error=0.09)), "error: expected what the bins give, 0.0875"),
        (first(count=0), r"bins\[0\].count: expected a whole number of at least 1"),
        (first(count=10**13), r"bins\[0\].count: expected at most 1e\+12"),
        (first(count=True), r"bins\[0\].count: expected a whole number"),
        (first(planets=11), r"bins\[0\].planets: expected a number from 0 to 10"),
        (first(planets=0.5), r"bins\[0\].planets: expected a whole number"),
        (first(planets=-1), r"bins\[0\].planets: expected a number from 0"),
        (first(predicted=0.3), r"bins\[0\].predicted: expected a number from 0 to 0.2"),
        (first(low=0.2), r"bins\[0\].high: expected a number above low"),
        (first(high=1.01), r"bins\[0\].high: expected a number from 0 to 1"),
        (first(low="0"), r"bins\[0\].low: expected a number"),
    ],
)
def test_a_file_that_is_not_as_we_write_it_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(FieldError, match=says):
        calibration_file.parse(content)
