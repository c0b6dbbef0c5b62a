"""The patch for the typo in accelerate 1.8.0; that it fixes the bug is tested in compat/."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("accelerate")
pytest.importorskip("torch")

from metalassay.patches import accelerate_n_shard_typo as typo

DATASET: Any = SimpleNamespace(n_shards=3)


@pytest.fixture
def misspelt(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a function with the typo in the place of accelerate's."""

    def prepare(dataset: Any) -> Any:
        return dataset.n_shard

    monkeypatch.setattr("accelerate.data_loader.prepare_data_loader", prepare)
    return prepare


def test_the_attribute_is_found_inside_the_block_only(misspelt: Any) -> None:
    with typo.patch() as needed:
        assert needed
        assert misspelt(DATASET) == 3
    with pytest.raises(AttributeError, match="n_shard"):
        misspelt(DATASET)


def test_the_correction_stays_until_the_last_user_leaves(misspelt: Any) -> None:
    stock = misspelt.__code__
    one, two = typo.patch(), typo.patch()
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert misspelt(DATASET) == 3
    two.__exit__(None, None, None)
    assert misspelt.__code__ is stock


def test_correct_code_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(dataset: Any) -> Any:
        return dataset.n_shards

    monkeypatch.setattr("accelerate.data_loader.prepare_data_loader", prepare)
    code = prepare.__code__
    with typo.patch() as needed:
        assert not needed
        assert prepare.__code__ is code
