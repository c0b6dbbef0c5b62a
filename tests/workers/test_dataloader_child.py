"""The data that a DataLoader setting is timed with, and one small measurement."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils.data import Subset

from metalassay.workers import dataloader, dataloader_child
from metalassay.workers.dataloader_child import LightCurves


def test_a_sample_has_both_views_and_a_label() -> None:
    whole, near, label = LightCurves(3)[1]
    assert (whole.shape, near.shape, int(label)) == ((1, 2001), (1, 201), 1)


def test_preloaded_batches_have_every_sample_once() -> None:
    data = LightCurves(7)
    data._labels = torch.arange(7)
    batches = list(data.batches(3))
    assert [len(labels) for *_, labels in batches] == [3, 3, 1]
    assert sorted(torch.cat([labels for *_, labels in batches]).tolist()) == list(range(7))
    for whole, near, labels in batches:
        for row, label in enumerate(labels.tolist()):
            assert torch.equal(whole[row], data[label][0])
            assert torch.equal(near[row], data[label][1])


def test_parent_and_child_agree_on_the_number_for_preloaded_tensors() -> None:
    assert dataloader_child.PRELOADED == dataloader.PRELOADED


@pytest.mark.parametrize("workers", [dataloader_child.PRELOADED, 0])
def test_a_measurement_has_a_start_up_and_a_rate(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    result = dataloader_child.measure(workers, batch=2, samples=4, seconds=0.01)
    assert set(result) == {"start_up", "per_second"}
    assert all(0 < value < math.inf for value in result.values())


def test_the_arguments_are_three_whole_numbers_and_seconds() -> None:
    assert dataloader_child._numbers(["-1", "4", "100", "0.5"]) == (-1, 4, 100, 0.5)


def test_preloaded_batches_of_a_user_have_every_sample_once() -> None:
    rows = [{"x": torch.full((2,), float(at)), "y": at, "name": "row"} for at in range(7)]
    data = dataloader_child.Preloaded(Subset(rows, range(7)))  # type: ignore[arg-type]
    batches = list(data.batches(3))
    assert [dataloader_child._samples(batch) for batch in batches] == [3, 3, 1]
    assert sorted(torch.cat([batch["y"] for batch in batches]).tolist()) == list(range(7))
    for batch in batches:
        assert batch["x"][:, 0].tolist() == batch["y"].tolist()
