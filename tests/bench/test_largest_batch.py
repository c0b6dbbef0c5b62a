"""A search for the largest batch ends in time, and its file claims no more than was tried."""

from __future__ import annotations

import json
import time

import pytest

from metalassay.bench import largest_batch
from metalassay.results import parse
from metalassay.results.max_batch_file import LargestBatch
from metalassay.workers.max_batch import Try
from metalassay.workers.specs import Spec


def fits_up_to(
    most: int, clock: list[float], each: float, monkeypatch: pytest.MonkeyPatch
) -> object:
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def attempt(spec: Spec, batch: int) -> Try:
        clock[0] += each
        return Try(batch, batch <= most, 2**20, "" if batch <= most else "out of memory")

    return attempt


def read(document: dict[str, object]) -> LargestBatch:
    found = parse.parse(json.dumps(document).encode(), "x")
    assert isinstance(found, LargestBatch)
    return found


@pytest.mark.parametrize(
    ("seconds", "largest", "limit"), [(100.0, 5, 6), (3.5, 4, 8), (2.5, 4, None), (0.0, 1, None)]
)
def test_what_fitted_within_the_time_is_the_result(
    seconds: float, largest: int, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = fits_up_to(5, [0.0], 1.0, monkeypatch)
    found = read(
        largest_batch.search("transit-cnn", "train", "cpu", seconds=seconds, attempt=attempt)  # type: ignore[arg-type]
    )
    assert (found.largest, found.limit) == (largest, limit)
    assert (found.workload, found.mode, found.device) == ("transit-cnn", "train", "cpu")


def test_its_name_says_what_is_searched() -> None:
    assert largest_batch.label("mps", "gpt-small", "train") == "mps: largest batch, gpt-small train"
