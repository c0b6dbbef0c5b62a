"""The guard against trainings of zero steps; compat/ tests it with each version."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metalassay import guard
from metalassay.testing import accelerate_state


def test_importing_the_guard_imports_neither_torch_nor_transformers() -> None:
    program = (
        "import sys, metalassay.guard; sys.exit(str({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip() == "set()"


def test_a_loader_with_data_is_unchanged() -> None:
    class Loader(list[int]):
        epoch = 3

    loader = guard.no_empty(Loader([1, 2, 3]))
    assert [list(loader), list(loader)] == [[1, 2, 3], [1, 2, 3]]
    assert (len(loader), loader.epoch) == (3, 3)
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = loader.nothing_of_that_name


def test_a_none_batch_is_data() -> None:
    assert list(guard.no_empty([None, None])) == [None, None]


@pytest.mark.parametrize(
    ("loader", "cause"),
    [
        pytest.param([], "the dataset has 0 rows", id="list"),
        pytest.param(iter(()), "is an iterable, and it yielded nothing", id="generator"),
    ],
)
def test_a_pass_that_yields_nothing_names_the_cause(loader: Any, cause: str) -> None:
    with pytest.raises(guard.ZeroStepsError, match=cause):
        list(guard.no_empty(loader))


def test_the_second_pass_over_a_generator_is_empty() -> None:
    numbers = [1, 2]
    loader = guard.no_empty(x for x in numbers)
    assert list(loader) == [1, 2]
    with pytest.raises(guard.ZeroStepsError, match="a generator may already be exhausted"):
        list(loader)


def test_a_batch_is_released_when_the_next_is_requested() -> None:
    class Batch:
        pass

    def batches() -> Iterator[Batch]:
        yield Batch()
        yield Batch()

    passing = iter(guard.no_empty(batches()))
    first = weakref.ref(next(passing))
    second = next(passing)
    gc.collect()
    assert first() is None
    assert isinstance(second, Batch)


def loader_over(rows: int, **options: Any) -> Any:
    data = pytest.importorskip("torch.utils.data")
    return data.DataLoader(list(range(rows)), **options)


def test_drop_last_is_reported_with_the_numbers() -> None:
    with pytest.raises(guard.ZeroStepsError, match="3 rows, one batch needs 4, and drop_last"):
        list(guard.no_empty(loader_over(3, batch_size=4, drop_last=True)))


def test_an_empty_sampler_is_not_reported_as_an_empty_dataset() -> None:
    loader = loader_over(3, sampler=[], batch_size=4)
    with pytest.raises(guard.ZeroStepsError, match="3 rows, the loader reports length 0"):
        list(guard.no_empty(loader))


def test_the_prompts_of_grpo_are_counted() -> None:
    # The attributes of TRL's RepeatSampler: the unique prompts, and how many fill a batch.
    sampler = SimpleNamespace(num_samples=2, batch_size=4, mini_repeat_count=2)
    loader = SimpleNamespace(dataset=[0, 1], batch_sampler=SimpleNamespace(sampler=sampler))
    cause, _ = guard.why_empty(loader)
    assert cause.startswith("2 unique prompts, one generation batch needs 4")


def test_enough_prompts_for_a_batch_are_not_reported_as_the_cause() -> None:
    sampler = SimpleNamespace(num_samples=4, batch_size=4, mini_repeat_count=2)
    loader = SimpleNamespace(dataset=range(4), batch_sampler=SimpleNamespace(sampler=sampler))
    assert "prompt" not in guard.why_empty(loader)[0]


@pytest.fixture
def accelerate() -> Any:
    module = pytest.importorskip("accelerate")
    accelerate_state.reset()
    return module


def test_an_empty_prepared_loader_yields_no_none_and_the_patch_is_removed(
    accelerate: Any,
) -> None:
    shard = accelerate.data_loader.DataLoaderShard
    stock, seen = shard.__dict__["__iter__"], []
    loader = guard.no_empty(accelerate.Accelerator(cpu=True).prepare(loader_over(0)))
    with pytest.raises(guard.ZeroStepsError, match="0 rows"):  # noqa: PT012  (what was seen counts)
        for batch in loader:
            seen.append(batch)
    assert seen == []
    assert shard.__dict__["__iter__"] is stock
    assert not accelerate.state.GradientState().in_dataloader


def test_a_prepared_loader_with_data_is_unchanged(accelerate: Any) -> None:
    loader = guard.no_empty(accelerate.Accelerator(cpu=True).prepare(loader_over(5, batch_size=2)))
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4]]
    assert loader.end_of_dataloader


def test_batches_skipped_past_the_end_are_counted(accelerate: Any) -> None:
    loader = accelerate.Accelerator(cpu=True).prepare(loader_over(4, batch_size=2))
    past = accelerate.skip_first_batches(loader, 3)
    with pytest.raises(guard.ZeroStepsError, match="3 batches to skip, but there are only 2"):
        next(iter(guard.no_empty(past)))  # list() would ask for the length, which is negative


def test_a_patch_of_others_that_loses_every_batch_is_named_and_not_the_sampler(
    accelerate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = accelerate.data_loader.DataLoaderShard
    stock = shard.__dict__["__iter__"]

    def handing_over(self: Any) -> Any:
        try:
            return stock(self)
        except UnboundLocalError:
            yield from self.dataset

    monkeypatch.setattr(shard, "__iter__", handing_over)
    loader = accelerate.Accelerator(cpu=True).prepare(loader_over(16, batch_size=4))
    with (
        pytest.warns(RuntimeWarning, match="but handing_over in "),
        pytest.raises(
            guard.ZeroStepsError, match=r"but handing_over in .*test_guard\.py"
        ) as raised,
    ):
        list(guard.no_empty(loader))
    assert "returns an iterator instead of yielding from it" in str(raised.value)
    assert "remove that patch" in raised.value.next_step
    # It would lose a full batch too, so a sampler that drops one is not the first thing to say.
    short = accelerate.Accelerator(cpu=True).prepare(loader_over(3, batch_size=4, drop_last=True))
    assert "but handing_over in " in guard.why_empty(short)[0]


def test_a_patch_of_others_that_hands_the_batches_on_is_not_blamed_for_a_sampler(
    accelerate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = accelerate.data_loader.DataLoaderShard
    stock = shard.__dict__["__iter__"]

    def handing_on(self: Any) -> Iterator[Any]:
        yield from stock(self)

    monkeypatch.setattr(shard, "__iter__", handing_on)
    loader = accelerate.Accelerator(cpu=True).prepare(loader_over(3, batch_size=4, drop_last=True))
    cause, _ = guard.why_empty(loader)
    assert cause.startswith("3 rows, one batch needs 4, and drop_last")
    one = accelerate.Accelerator(cpu=True).prepare(loader_over(3, sampler=[], batch_size=4))
    assert "but handing_on in " in guard.why_empty(one)[0]


@pytest.mark.slow
def test_the_batches_of_all_processes_are_counted(accelerate: Any) -> None:
    loader = accelerate.data_loader.prepare_data_loader(
        loader_over(3, batch_size=2, drop_last=True), num_processes=2, process_index=0
    )
    cause, _ = guard.why_empty(loader)
    assert cause.startswith("3 rows, one batch needs 2 on each of 2 processes")


@pytest.fixture
def trainer() -> Any:
    for package in ("torch", "accelerate"):
        pytest.importorskip(package)
    # It may be installed but not importable, beside another package of the wrong version.
    pytest.importorskip("transformers.trainer", exc_type=ImportError)
    from metalassay.testing import tiny_trainer

    return tiny_trainer


def test_the_context_manager_reports_the_cause_and_restores_the_trainer(
    trainer: Any, tmp_path: Path
) -> None:
    training = trainer.trainer(tmp_path, trainer.Rows(1), max_steps=2, dataloader_drop_last=True)
    stock = type(training).__dict__["train"]
    callbacks = list(training.callback_handler.callbacks)
    cause = "took no step: 1 row, one batch needs 2, and drop_last"
    with guard.no_zero_steps(), pytest.raises(guard.ZeroStepsError, match=cause):
        training.train()
    assert type(training).__dict__["train"] is stock
    assert training.callback_handler.callbacks == callbacks
    assert training.train().global_step == 0, "outside the block the Trainer is unchanged"


def test_the_context_manager_reports_the_cause_where_an_old_accelerate_crashes(
    trainer: Any, tmp_path: Path
) -> None:
    training = trainer.trainer(tmp_path, trainer.Stream(0), max_steps=2, **trainer.NO_DISPATCH)
    with guard.no_zero_steps(), pytest.raises(guard.ZeroStepsError, match="yielded nothing"):
        training.train()


def test_the_callback_allows_steps_and_rejects_a_resume_with_nothing_left(
    trainer: Any, tmp_path: Path
) -> None:
    options = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}

    def training() -> Any:
        return trainer.trainer(tmp_path, trainer.Rows(4), callbacks=[guard.callback()], **options)

    assert training().train().global_step == 2
    assert training().train(str(tmp_path / "checkpoint-1")).global_step == 2
    with pytest.raises(guard.ZeroStepsError, match="resumed at step 2 of 2"):
        training().train(str(tmp_path / "checkpoint-2"))
