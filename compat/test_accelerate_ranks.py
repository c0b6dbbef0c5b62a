"""accelerate's loaders in two processes that form a gloo group."""

from __future__ import annotations

import datetime
import inspect
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest

from metalassay.environment import versions
from metalassay.testing import ranks

if not {"accelerate", "torch"} <= versions.installed().keys():
    pytest.skip("accelerate or torch is not installed", allow_module_level=True)

# An installed package that cannot be imported is an error, not a skip.
import accelerate
import accelerate_loading
import torch
from accelerate.data_loader import prepare_data_loader
from accelerate_loading import Stream, Texts
from torch.utils.data import DataLoader, TensorDataset

pytestmark = pytest.mark.slow

TYPO = "accelerate_n_shard_typo"
"""Applied wherever streams of `datasets` are prepared: the typo in 1.8.0 has a test of its own."""

# Assigned again to give it a type: mypy does not resolve modules beside a test.
unless_it_loops: pytest.MarkDecorator = accelerate_loading.unless_it_loops


def in_group(seconds: float = 30) -> Any:
    """Return the rank's Accelerator, in a group that times out after ``seconds``."""
    timeout = datetime.timedelta(seconds=seconds)
    group = accelerate.InitProcessGroupKwargs(timeout=timeout)
    return accelerate.Accelerator(cpu=True, kwargs_handlers=[group])


def loaded(rows: Any, prepare: dict[str, Any], options: dict[str, Any]) -> list[Any]:
    """Return the batches that the rank receives from a prepared loader."""
    accelerator = in_group()
    loader = DataLoader(rows, **options)
    prepared = prepare_data_loader(loader, accelerator.device, put_on_device=True, **prepare)
    return [batch.tolist() if hasattr(batch, "tolist") else batch for batch in prepared]


def patches(upstream: str, patch: str) -> Sequence[str]:
    return [patch] if upstream == "patched" else []


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        pytest.param([], {"batch_size": 2}, id="no rows"),
        pytest.param([1, 2, 3], {"batch_size": 4, "drop_last": True}, id="drop_last"),
        pytest.param(Stream(0), {"batch_size": 2}, id="a stream of nothing"),
    ],
)
@pytest.mark.bug("accelerate-empty-shard", symptom="two-ranks")
def test_every_rank_ends_its_empty_loader(
    upstream: str, rows: Any, options: dict[str, Any]
) -> None:
    applied = patches(upstream, "accelerate_empty_shard")
    outcomes = ranks.run(loaded, rows, {"dispatch_batches": False}, options, patches=applied)
    assert ranks.values(outcomes) == [[], []]


@unless_it_loops
@pytest.mark.parametrize("rows", [[], Stream(0)], ids=["no rows", "a stream of nothing"])
@pytest.mark.bug("accelerate-empty-dispatcher", symptom="two-ranks")
def test_dispatching_nothing_to_two_ranks_ends_in_both(upstream: str, rows: Any) -> None:
    applied = patches(upstream, "accelerate_empty_dispatcher")
    outcomes = ranks.run(
        loaded, rows, {"dispatch_batches": True}, {"batch_size": 2}, patches=applied
    )
    assert ranks.values(outcomes) == [[], []]


@pytest.mark.bug("accelerate-dispatch-non-tensor", symptom="two-ranks")
def test_a_text_column_is_dispatched_to_two_ranks(upstream: str) -> None:
    alone = accelerate.Accelerator(cpu=True).prepare(DataLoader(Texts(4), batch_size=2))
    with suppress(TypeError):  # the behaviour of one process has its own tests
        if [batch["text"] for batch in alone] == [[], []]:
            pytest.skip("this accelerate loses the text even in one process")
    outcomes = ranks.run(loaded, Texts(4), {"dispatch_batches": True}, {"batch_size": 2})
    texts = [[batch["text"] for batch in seen] for seen in ranks.values(outcomes)]
    assert texts == [[["a", "b"]], [["c", "d"]]]


def trained(rows: Any, prepare: dict[str, Any]) -> int:
    """Train over the rank's share of ``rows`` and return its number of batches."""
    accelerator = in_group(seconds=10)
    model = accelerator.prepare(torch.nn.Linear(1, 1))
    batches = 0
    for batch in prepare_data_loader(DataLoader(rows, batch_size=2), **prepare):
        accelerator.backward(model(batch["x"]).sum())
        batches += 1
    accelerator.wait_for_everyone()
    return batches


def waited(outcomes: list[ranks.Outcome]) -> bool:
    """Return whether a rank waited until it timed out, in contrast to an immediate error."""
    errors = [outcome.error or "" for outcome in outcomes]
    return any("imed out" in error or "hung:" in error for error in errors)


def ones(rows: int) -> list[dict[str, torch.Tensor]]:
    return [{"x": torch.ones(1)}] * rows


@pytest.mark.bug("accelerate-rank-empty-hang", symptom="time-out")
def test_a_rank_without_data_does_not_keep_the_other_waiting(upstream: str) -> None:
    skip_without_even_batches()
    outcomes = ranks.run(trained, ones(2), {"even_batches": False})
    assert not waited(outcomes), f"a rank waited until the group's time-out: {outcomes}"


@pytest.mark.bug("accelerate-rank-empty-hang")
def test_two_ranks_with_data_train(upstream: str) -> None:
    skip_without_even_batches()
    assert ranks.values(ranks.run(trained, ones(4), {"even_batches": False})) == [1, 1]


def skip_without_even_batches() -> None:
    if "even_batches" not in inspect.signature(prepare_data_loader).parameters:
        pytest.skip("this accelerate always gives every rank the same number of batches")


def shards(rows: Sequence[int]) -> Iterator[dict[str, list[float]]]:
    for count in rows:
        yield from [{"x": [1.0]}] * count


def trained_on_shards(rows: Sequence[int]) -> int:
    import datasets

    data = datasets.IterableDataset.from_generator(shards, gen_kwargs={"rows": list(rows)})
    return trained(data.with_format("torch"), {"dispatch_batches": False})


@pytest.mark.bug("accelerate-shards-equal-ranks-hang", symptom="time-out")
def test_an_empty_shard_does_not_keep_the_other_rank_waiting(upstream: str) -> None:
    if "datasets" not in versions.installed():
        pytest.skip("datasets is not installed")
    outcomes = ranks.run(trained_on_shards, [4, 0], patches=[TYPO])
    assert not waited(outcomes), f"a rank waited until the group's time-out: {outcomes}"


@pytest.mark.bug("accelerate-shards-equal-ranks-hang")
def test_two_ranks_with_a_full_shard_each_train(upstream: str) -> None:
    if "datasets" not in versions.installed():
        pytest.skip("datasets is not installed")
    assert ranks.values(ranks.run(trained_on_shards, [4, 4], patches=[TYPO])) == [2, 2]


def gathered(skip: int | None) -> list[float]:
    """Return the rows that gather_for_metrics returns, over ten rows in batches of two."""
    accelerator = in_group()
    loader = accelerator.prepare(DataLoader(TensorDataset(torch.arange(10.0)), batch_size=2))
    if skip is not None:
        loader = accelerate.skip_first_batches(loader, skip)
    return sorted(x for (batch,) in loader for x in accelerator.gather_for_metrics(batch).tolist())


@pytest.mark.parametrize("skip", [0, 1])
@pytest.mark.bug("accelerate-gather-after-skip", symptom="duplicates")
def test_metrics_after_a_skip_count_every_row_once(upstream: str, skip: int) -> None:
    if not hasattr(accelerate, "skip_first_batches"):
        pytest.skip("this accelerate has no skip_first_batches")
    want = [float(row) for row in range(4 * skip, 10)]
    for seen in ranks.values(ranks.run(gathered, skip)):
        assert seen == want, f"gathered {seen}, not {want}"


@pytest.mark.bug("accelerate-gather-after-skip")
def test_metrics_without_a_skip_count_every_row_once(upstream: str) -> None:
    if not hasattr(accelerate.Accelerator, "gather_for_metrics"):
        pytest.skip("this accelerate has no gather_for_metrics")
    want = [float(row) for row in range(10)]
    assert ranks.values(ranks.run(gathered, None)) == [want, want]
