"""Turn a training of zero steps into an error that names the cause.

Since accelerate 1.9.0 an empty loader no longer crashes: transformers' Trainer, and with it GRPO,
ends as a success with ``global_step == 0`` and saves the model it started from. There are three ways
to get an error instead::

    from metalassay import guard

    with guard.no_zero_steps():  # any Trainer, however it was made
        trainer.train()

    Trainer(..., callbacks=[guard.callback()])  # this Trainer

    for batch in guard.no_empty(loader):  # your own loop, with or without accelerate
        ...

Each raises ``ZeroStepsError``, as in "the training took no step: 2 unique prompts, one generation
batch needs 4". Importing this module imports neither torch nor transformers.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

from metalassay.errors import UserError
from metalassay.patches import accelerate_empty_shard, replaced
from metalassay.patches.layers import layer

_MISSING = object()


class ZeroStepsError(UserError):
    """A training took no step, or a pass over a loader yielded no batch."""


@contextmanager
def no_zero_steps() -> Iterator[None]:
    """Raise ``ZeroStepsError`` from every ``Trainer.train`` in the block that takes no step.

    Applies to the whole process while the block runs, including subclasses that call
    ``Trainer.train``; afterwards transformers is unchanged. Where accelerate is older than 1.9.0 and
    would crash on an empty loader, the same error is raised instead. A resume with nothing left to
    do takes no step either. Raises ``ModuleNotFoundError`` without transformers or accelerate.
    """
    from transformers import Trainer

    with ExitStack() as stack:
        stack.enter_context(accelerate_empty_shard.patch())
        stack.enter_context(layer(Trainer, "train", guarded, level=0))
        yield


def callback() -> Any:
    """Return a ``TrainerCallback`` that raises ``ZeroStepsError`` when a training took no step.

    It does not run if the Trainer crashes: before accelerate 1.9.0 an empty loader crashes first.
    Raises ``ModuleNotFoundError`` without transformers.
    """
    return _callback_class()()


class _NoEmpty:
    """A wrapper around a loader that must yield a batch; all else is left to that loader."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Any]:
        # accelerate < 1.9.0 chooses its generator when iter() is called, so the patch need not be
        # active any longer; with it an empty pass ends instead of yielding a spurious None.
        with accelerate_empty_shard.patch() if "accelerate" in sys.modules else nullcontext():
            batches = iter(self._loader)
        first = next(batches, _MISSING)
        if first is _MISSING:
            raise _error("the loader yielded no batch", *why_empty(self._loader))
        yield first
        del first  # a batch may be large; only the loop should keep it
        yield from batches

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":  # not set yet, while being copied or unpickled
            raise AttributeError(name)
        return getattr(self._loader, name)


def no_empty(loader: Any) -> Any:
    """Wrap an iterable so that a pass over it that yields nothing raises ``ZeroStepsError``.

    Wrap the result of ``Accelerator.prepare``, not its argument. Batches, their order, the length
    and all attributes are those of ``loader``::

        loader = guard.no_empty(accelerator.prepare(loader))
        for epoch in range(3):
            for batch in loader:
                ...
    """
    return _NoEmpty(loader)


def why_empty(loader: Any) -> tuple[str, str]:
    """Return why ``loader`` yields nothing, and what to do, without iterating over it.

    ``loader`` is a torch DataLoader, the loader that accelerate makes of one, or any iterable.
    """
    dataset = getattr(loader, "dataset", loader)
    rows = _length(dataset)
    if rows == 0:
        return (
            "the dataset has 0 rows",
            "print len() of the dataset after each filter, split and select",
        )
    foreign = _replaced(loader)
    if foreign is not None and foreign[1]:
        return foreign[0], _WITHOUT_IT
    if rows is None:
        return (
            "the dataset is an iterable, and it yielded nothing",
            "check next(iter(dataset)): a filter may keep nothing, a generator may already be exhausted,"
            " a resume may start past the end, or a shard may have no files",
        )
    samplers = _samplers(loader)
    return (
        _too_few_prompts(samplers)
        or _skipped(loader, samplers)
        or _dropped(loader, samplers, rows)
        or ((foreign[0], _WITHOUT_IT) if foreign is not None else None)
        or (
            f"the dataset has {_count(rows, 'row')}, the loader reports length {_length(loader)}, and it"
            " yielded nothing",
            "check what the sampler yields: list(loader.batch_sampler)",
        )
    )


_WITHOUT_IT = (
    "remove that patch: accelerate 1.9.0 and newer need none, and metalassay.patches.accelerate_empty_shard"
    " is one for older releases"
)


def _replaced(loader: Any) -> tuple[str, bool] | None:
    """Say whose code iterates over the loader, if not its own, and whether that code loses every batch."""
    found = replaced.of_iterator(loader)
    if found is None:
        return None
    owner, function = found
    loses = replaced.loses_what_it_returns(function)
    why = ", a generator that returns an iterator instead of yielding from it" if loses else ""
    library = owner.__module__.partition(".")[0]
    return (
        f"{owner.__qualname__}.__iter__ is not {library}'s own, but {replaced.described(function)}{why}",
        loses,
    )


def _too_few_prompts(samplers: list[Any]) -> tuple[str, str] | None:
    """Recognise TRL's RepeatSampler, which drops a chunk of prompts that does not fill a batch."""
    for sampler in samplers:
        if not hasattr(sampler, "mini_repeat_count"):
            continue
        prompts, needed = sampler.num_samples, sampler.batch_size
        if prompts < needed:
            return (
                f"{_count(prompts, 'unique prompt')}, one generation batch needs {needed}, and the"
                " sampler drops an incomplete one",
                "add prompts, or lower gradient_accumulation_steps, steps_per_generation or"
                " generation_batch_size",
            )
    return None


def _skipped(loader: Any, samplers: list[Any]) -> tuple[str, str] | None:
    for part in (loader, *samplers):
        skipped, inner = getattr(part, "skip_batches", 0), getattr(part, "batch_sampler", None)
        available = _length(inner)
        if skipped and available is not None and available <= skipped:
            return (
                f"{_count(skipped, 'batch', 'batches')} to skip, but there are only {available}",
                "skip at most len(loader) - 1 batches; skip_first_batches counts within one epoch",
            )
    return None


def _dropped(loader: Any, samplers: list[Any], rows: int) -> tuple[str, str] | None:
    batch_size, processes = None, 1
    for sampler in samplers:
        batch_size = getattr(sampler, "batch_size", None) or batch_size
        if not getattr(sampler, "split_batches", False):
            processes = max(processes, getattr(sampler, "num_processes", 1))
    drops = any(getattr(part, "drop_last", False) for part in (loader, *samplers))
    if not drops or not batch_size or rows >= batch_size * processes:
        return None
    each_process = f" on each of {processes} processes" if processes > 1 else ""
    return (
        f"{_count(rows, 'row')}, one batch needs {batch_size}{each_process}, and drop_last drops"
        " the incomplete batch",
        "use a smaller batch, more rows, or drop_last=False (dataloader_drop_last=False)",
    )


def _samplers(loader: Any) -> list[Any]:
    """Return the batch sampler and the samplers that it wraps, the outermost first."""
    samplers: list[Any] = []
    sampler = getattr(loader, "batch_sampler", None)
    while sampler is not None and not any(sampler is known for known in samplers):
        samplers.append(sampler)
        sampler = getattr(sampler, "batch_sampler", None) or getattr(sampler, "sampler", None)
    return samplers


def _length(sized: Any) -> int | None:
    """Return ``len(sized)``, or None where it has no length or a negative one."""
    try:
        return len(sized)
    except (TypeError, ValueError, NotImplementedError):
        # No __len__, torch's IterableDataset refusing, or accelerate's negative length after a skip.
        return None


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _error(what: str, cause: str, next_step: str) -> ZeroStepsError:
    return ZeroStepsError(f"{what}: {cause}", next_step)


def _why_no_step(args: Any, state: Any, seen: Any, loader: Any) -> tuple[str, str]:
    """Return why a Trainer took no step, and what to do; ``seen`` is our callback."""
    if seen.began and seen.began >= state.max_steps:
        return (
            f"it was resumed at step {seen.began} of {state.max_steps}, so nothing was left to do",
            "raise max_steps or num_train_epochs, or train without resume_from_checkpoint",
        )
    if args.max_steps <= 0 and args.num_train_epochs <= 0:
        return (
            f"num_train_epochs is {args.num_train_epochs:g}",
            "set num_train_epochs or max_steps to at least 1",
        )
    if seen.saw_batch:
        return (
            "there were batches, but no optimizer step",
            "check for a callback that stops the training, or a loop that skips the step",
        )
    return why_empty(loader)


def _on_train_begin(self: Any, args: Any, state: Any, control: Any, **others: Any) -> None:
    self.began = state.global_step  # not 0 in a resumed training
    self.saw_batch = False


def _on_step_begin(self: Any, args: Any, state: Any, control: Any, **others: Any) -> None:
    self.saw_batch = True


def _on_train_end(self: Any, args: Any, state: Any, control: Any, **others: Any) -> None:
    if state.global_step <= self.began:
        why = _why_no_step(args, state, self, others["train_dataloader"])
        raise _error("the training took no step", *why)


@functools.cache
def _callback_class() -> type:
    from transformers import TrainerCallback

    return type(
        "NoZeroSteps",
        (TrainerCallback,),
        {
            "on_train_begin": _on_train_begin,
            "on_step_begin": _on_step_begin,
            "on_train_end": _on_train_end,
        },
    )


def guarded(below: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``Trainer.train``, or a method around it, so that it raises as ``no_zero_steps`` does."""

    @functools.wraps(below)
    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        ours = callback()
        self.add_callback(ours)
        try:
            return below(self, *args, **kwargs)
        finally:
            self.remove_callback(ours)

    return train
