"""A training with TRL that takes one step whenever it is called, as the benchmarks need it.

TRL's trainers own their loop. Here it runs in a thread of its own, which waits at the end of each step
until the next one is wanted; only one of the two threads runs at any time.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from metalassay.errors import UserError
from metalassay.training.rlhf import data, early_ppo, models, stage, trainers
from metalassay.training.rlhf.meter import Meter
from metalassay.workloads.flop_counter import Counter, Counts
from metalassay.workloads.identity import identity
from metalassay.workloads.registry import Workload

PREFIX = "rlhf-"
"""Of the names of the benchmarks, before the name of the trainer."""
SIZE, SEED, PROMPTS = "tiny", 0, 64
ENDLESS = 1_000_000
"""More steps than a benchmark takes; so the learning rate, which falls to the end, stays as it is."""
MOST_STEPS = 200
"""Within these, counted from the first, the model has to get better at what it was trained on."""
# The figure that training has to lower (-1) or raise (1).
_LEARNT = {"sft": ("answer_loss", -1), "reward": ("loss", -1), "dpo": ("preference_margin", 1)}


class _Ended(BaseException):
    """Ends the loop of a trainer, which lets no other exception pass unseen."""


class _Paced(Meter):
    """A meter that lets the loop go on only for the step that is wanted."""

    def __init__(self, where: torch.device, model: Any, turn: _Turn) -> None:
        super().__init__(where, model)
        self._turn = turn
        self._around: contextlib.AbstractContextManager[object] | None = None

    def begin(self) -> None:
        if self._around is None:
            self._wait()
        super().begin()

    def end_step(self) -> None:
        super().end_step()
        if self._around is not None:
            self._around.__exit__(None, None, None)
        self._wait()
        super().begin()

    def _wait(self) -> None:
        self._around = self._turn.give_back()
        self._around.__enter__()


class _Turn:
    """Whose turn it is: that of the loop, or that of who wants steps from it."""

    def __init__(self) -> None:
        self._wanted, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._around: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        self._error: BaseException | None = None
        self.over = False

    def __deepcopy__(self, memo: object) -> _Turn:
        """Return itself: TRL copies the model for its reference, and the meter that counts its tokens with it."""
        return self

    def take(self, around: contextlib.AbstractContextManager[object]) -> None:
        """Let the loop run until it gives back; raise what ended it."""
        if self._error is not None:
            raise self._error
        self._around = around
        self._wanted.release()
        self.wait()

    def wait(self) -> None:
        """Wait until the loop gives back; raise what ended it."""
        self._done.acquire()
        if self._error is not None:
            raise self._error

    def give_back(self) -> contextlib.AbstractContextManager[object]:
        """Wait, in the loop, for the next step; return the context to take it in."""
        self._done.release()
        self._wanted.acquire()
        if self.over:
            raise _Ended
        return self._around

    def end(self, error: BaseException | None) -> None:
        """Say that the loop has ended."""
        self.over = True
        self._error = error
        self._done.release()

    def stop(self) -> None:
        """Let the loop end where it waits."""
        if not self.over:
            self.over = True
            self._wanted.release()


class Steps:
    """A trainer in the installed TRL whose ``__call__`` takes one step and waits for the device.

    It starts from random weights and takes ``batch`` examples a step; the first step comes with what the
    trainer does before it. ``folder`` is for what the trainer insists on writing. Raises ``UserError`` for
    a release of TRL without this trainer. Call ``close`` at the end.
    """

    def __init__(self, kind: str, batch: int, where: torch.device, folder: Path) -> None:
        plan = stage.Plan(
            trainer=kind,
            size=SIZE,
            steps=ENDLESS,
            batch=batch,
            learning_rate=trainers.RATES[kind],
            seed=SEED,
            prompts=PROMPTS,
        )
        self.kind, self.batch, self.where = kind, batch, where
        self._turn = _Turn()
        self._loop = stage.Loop(plan, folder, where, lambda model: _Paced(where, model, self._turn))
        self._loop.judge.made, _ = data.examples(SEED, PROMPTS)  # those that are trained on
        self._before = self._figures()
        self._weights = [each.detach().clone() for each in self._loop.model.parameters()]
        self._thread = threading.Thread(target=self._run, name=f"train {kind}", daemon=True)
        self._thread.start()
        self._turn.wait()  # until the first step is to begin

    def _run(self) -> None:
        try:
            self._loop.run()
        except _Ended:
            self._turn.end(None)
        except BaseException as error:  # noqa: BLE001  (raised again by who wanted the step)
            self._turn.end(error)
        else:
            self._turn.end(RuntimeError(f"{self.kind} ended by itself"))

    def __call__(self) -> None:
        """Take one step."""
        self.take(contextlib.nullcontext())

    def take(self, around: contextlib.AbstractContextManager[object]) -> None:
        """Take one step in a context, which the thread of the trainer enters."""
        self._turn.take(around)

    def count(self) -> Counts:
        """Return the arithmetic and the traffic of one step, after one that comes with some setup."""
        self()
        counter = Counter()
        self.take(counter)
        return counter.counts()

    @property
    def parameters(self) -> int:
        """Number of weights that are trained."""
        return sum(each.numel() for each in self._loop.model.parameters())

    @property
    def tokens_per_step(self) -> float | None:
        """Mean number of tokens that were trained on in a step."""
        return self._loop.meter.tokens_per_step

    def check(self) -> None:
        """Raise ``AssertionError`` unless the weights have moved to other finite ones, and towards the goal.

        SFT, a reward model and DPO must get better at the examples that they are trained on; if they are not
        yet, further steps follow. Rewards of PPO and GRPO after so few steps are chance, and not looked at.
        """
        now = [each.detach() for each in self._loop.model.parameters()]
        if not all(bool(each.isfinite().all()) for each in now):
            raise AssertionError(f"{self.kind} left weights that are not finite")
        if all(torch.equal(*both) for both in zip(now, self._weights, strict=True)):
            raise AssertionError(f"{self.kind} moved no weight")
        if self.kind in _LEARNT:
            self._must_learn(*_LEARNT[self.kind])

    def _must_learn(self, name: str, sign: int) -> None:
        while True:
            after = self._figures()[name]
            if math.isfinite(after) and sign * (after - self._before[name]) > 0:
                return
            if self._loop.meter.steps >= MOST_STEPS:
                break
            self()
        raise AssertionError(
            f"{self.kind} did not learn in {self._loop.meter.steps} steps:"
            f" {name} {self._before[name]:.6g} -> {after:.6g}"
        )

    def _figures(self) -> dict[str, float]:
        return self._loop.judge.figures(self._loop.model)

    def close(self) -> None:
        """End the training."""
        self._turn.stop()
        self._thread.join(timeout=60)
        self._loop.meter.close()


def workload(steps: Steps, versions: Mapping[str, str]) -> Workload:
    """Return ``steps`` as a workload; ``versions`` are those of the installed packages.

    Most of what is timed is TRL's and transformers' code, so their versions are in the identity.
    """
    return Workload(
        name=PREFIX + steps.kind,
        mode="train",
        device=steps.where,
        dtype="float32",
        batch_size=steps.batch,
        unit="samples",
        items_per_call=steps.batch,
        parameters=steps.parameters,
        threads=torch.get_num_threads(),
        identity=identity(*_timed(steps.kind), *_libraries(versions)),
        step=steps,
        check=steps.check,
    )


def _libraries(versions: Mapping[str, str]) -> list[str]:
    return [f"{name}=={versions[name]}" for name in ("accelerate", "transformers", "trl")]


def _timed(kind: str) -> tuple[Callable[..., Any] | str | float, ...]:
    makers: dict[str, Callable[..., Any]] = {
        "sft": trainers.sft,
        "reward": trainers.reward,
        "dpo": trainers.dpo,
        "ppo": trainers.ppo,
        "grpo": trainers.grpo,
    }
    early = (early_ppo.train,) if kind == "ppo" else ()
    return (
        makers[kind],
        *early,
        data.examples,
        models.policy,
        models.critic,
        SIZE,
        trainers.RATES[kind],
    )


def require_batch(kind: str, batch: int) -> None:
    """Raise ``UserError`` for a batch that a trainer cannot take."""
    if kind == "grpo" and batch % trainers.GENERATIONS:
        raise UserError(
            f"GRPO compares {trainers.GENERATIONS} answers to each prompt, and {batch} is no multiple",
            f"--batch-size {max(batch - batch % trainers.GENERATIONS, trainers.GENERATIONS)}",
        )
