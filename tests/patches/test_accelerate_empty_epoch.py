"""The patch that counts empty epochs; that it fixes the bug is tested in compat/, per version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("accelerate")
pytest.importorskip("torch")

from metalassay.patches import accelerate_empty_epoch as empty_epoch


class Loader:
    """A loader that yields ``batches`` and, if ``counts``, counts its epochs as upstream should."""

    def __init__(self, batches: list[int], counts: bool) -> None:
        self.batches = batches
        self.counts = counts
        self.iteration = 0
        self.end_of_dataloader = False

    def __iter__(self) -> Iterator[int]:
        yield from self.batches
        if self.counts:
            self.iteration += 1


@pytest.fixture(params=["DataLoaderShard", "DataLoaderDispatcher"])
def owner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type:
    """Put our loader in the place of one of accelerate's."""
    monkeypatch.setattr(f"accelerate.data_loader.{request.param}", Loader)
    return Loader


def test_an_empty_epoch_is_counted_and_the_loader_is_at_its_end(owner: Any) -> None:
    loader = owner([], counts=False)
    with empty_epoch.patch():
        assert [list(loader), list(loader)] == [[], []]
    assert (loader.iteration, loader.end_of_dataloader) == (2, True)


def test_an_epoch_that_upstream_counts_is_not_counted_twice(owner: Any) -> None:
    loader = owner([], counts=True)
    with empty_epoch.patch():
        assert list(loader) == []
    assert loader.iteration == 1


def test_batches_and_the_count_of_an_epoch_with_batches_stay_unchanged(owner: Any) -> None:
    loader = owner([1, 2], counts=True)
    with empty_epoch.patch():
        assert list(loader) == [1, 2]
    assert loader.iteration == 1


def test_without_the_patch_an_empty_epoch_is_not_counted(owner: Any) -> None:
    loader = owner([], counts=False)
    with empty_epoch.patch():
        pass
    assert list(loader) == []
    assert loader.iteration == 0
