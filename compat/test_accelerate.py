"""accelerate, used as its documentation shows it. Each test asserts the correct behaviour."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Any

import pytest

from metalassay import versions

if "accelerate" not in versions.installed():
    pytest.skip("accelerate is not installed", allow_module_level=True)

# One that is there and cannot be imported is an error, not a skip.
import accelerate

EMPTY = "accelerate-empty-shard"


@pytest.fixture(autouse=True)
def fresh_state() -> None:
    """Forget what the test before left in accelerate's process-wide state."""
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


def prepared(rows: Any, **options: Any) -> Any:
    """Return a DataLoader over ``rows``, as `Accelerator.prepare` hands it back."""
    from torch.utils.data import DataLoader

    return accelerate.Accelerator(cpu=True).prepare(DataLoader(rows, **options))


@pytest.mark.bug(EMPTY, symptom="spurious-none")
def test_an_empty_loader_yields_no_batch(upstream: str) -> None:
    end = object()
    first = next(iter(prepared([])), end)
    assert first is end, f"an empty loader yielded {first!r}"


@pytest.mark.bug(EMPTY, symptom="unbound-local")
def test_iterating_an_empty_loader_ends(upstream: str) -> None:
    deque(prepared([]), maxlen=0)


@pytest.mark.bug(EMPTY, symptom="leaked-state")
def test_an_empty_loader_leaves_the_gradient_state_clean(upstream: str) -> None:
    loader = prepared([])
    with suppress(UnboundLocalError):  # the crash has its own test; here what stays behind counts
        deque(loader, maxlen=0)
    state = accelerate.state.GradientState()
    assert not state.in_dataloader, "GradientState still holds the empty loader"
    assert state.active_dataloader is None, "GradientState still holds the empty loader"


@pytest.mark.bug(EMPTY)
def test_a_loader_with_data_yields_every_batch(upstream: str) -> None:
    loader = prepared(list(range(5)), batch_size=2)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4]]
    assert loader.end_of_dataloader
    assert not accelerate.state.GradientState().in_dataloader
