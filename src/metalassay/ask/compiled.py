"""torch.compile against eager: its result, what compiling costs, and after how many steps it pays."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from metalassay.ask import training_step
from metalassay.ask.contract import File, without_dropout
from metalassay.ask.pairs import Ratio, Timing, Turns
from metalassay.errors import UserError, reason

BACKEND = "inductor"
SAME = 1e-3
"""The relative difference of the losses of a step that is still the same: fused operators round otherwise."""


@dataclass(frozen=True)
class Answer:
    """What compiling did; ``why`` it failed, with nothing else, if so.

    ``compile_seconds`` are those of the first step beyond a later one. ``pays_after`` is the number of
    steps after which the whole is faster than eager, None where it never is. ``breaks`` are the reasons
    why the model became more than one graph.
    """

    why: str = ""
    eager: Timing | None = None
    compiled: Timing | None = None
    ratio: Ratio | None = None
    compile_seconds: float | None = None
    pays_after: int | None = None
    graphs: int | None = None
    breaks: tuple[str, ...] = ()
    loss: float | None = None
    eager_loss: float | None = None

    @property
    def same(self) -> bool:
        """Whether the first step has the same loss."""
        if self.loss is None or self.eager_loss is None:
            return False
        return math.isclose(self.loss, self.eager_loss, rel_tol=SAME, abs_tol=1e-6)


def ask(file: File, where: torch.device, batch_size: int, budget: float) -> Answer:
    """Train eagerly and compiled, in turns for ``budget`` seconds after compiling."""
    eager = training_step.make(file, where, batch_size)
    eager()
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            step = training_step.make(file, where, batch_size, around=_compiling)
            began = time.perf_counter()
            step()
            first = time.perf_counter() - began
            turns = Turns({"eager": eager, "compiled": step})
            turns.run(budget)
            losses = [_loss(file, where, batch_size, around) for around in (_eagerly, _compiling)]
    except (UserError, RuntimeError, OSError, ImportError) as error:
        return Answer(why=_short(error))
    counters = torch._dynamo.utils.counters
    if not counters["stats"]["unique_graphs"]:
        return Answer(
            why="nothing was compiled: loss(model, batch) does not compute by calling model(...)"
        )
    plain, fused = turns.timing("eager"), turns.timing("compiled")
    gain, cost = plain.seconds - fused.seconds, max(first - fused.seconds, 0.0)
    ratio = turns.ratio("compiled", "eager")
    return Answer(
        eager=plain,
        compiled=fused,
        ratio=ratio,
        compile_seconds=cost,
        pays_after=math.ceil(cost / gain) if gain > 0 and ratio.word == "faster" else None,
        graphs=int(counters["stats"]["unique_graphs"]),
        breaks=tuple(_break(each) for each in counters["graph_break"]),
        loss=losses[1],
        eager_loss=losses[0],
    )


def _eagerly(model: nn.Module) -> nn.Module:
    return model


def _compiling(model: nn.Module) -> nn.Module:
    compiled: Any = torch.compile(model, backend=BACKEND)
    return cast(nn.Module, compiled)


def _loss(
    file: File, where: torch.device, batch_size: int, around: Callable[[nn.Module], nn.Module]
) -> float:
    """Return the loss without dropout, whose random numbers compiled code draws in another order."""
    subject = without_dropout(file.subject(batch_size, where))
    return float(subject.loss_of(around(subject.model)))


def _break(text: str) -> str:
    return " ".join(text.split())[:160]


def _short(error: BaseException) -> str:
    """Return the cause of a failed compilation, which torch wraps several times."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = error.message if isinstance(error, UserError) else reason(error)
    return " ".join(text.split())[:200]
