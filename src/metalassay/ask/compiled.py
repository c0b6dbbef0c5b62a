"""torch.compile against eager: its result, what compiling costs, and after how many steps it pays."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast
from unittest import mock

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from metalassay.ask import training_step
from metalassay.ask.contract import File, without_dropout
from metalassay.ask.pairs import Ratio, Timing, Turns
from metalassay.errors import UserError, reason

BACKEND = "inductor"
SAME = 1e-3
"""The relative difference of the losses of a step that is still the same: fused operators round otherwise."""


LONG = 60.0
"""Seconds of compiling after which the CPU, where layout optimization seldom matters, is not asked without it."""


@dataclass(frozen=True)
class Layout:
    """The step compiled without layout optimization; ``ratio`` is its time over that of the one with it."""

    compiled: Timing
    ratio: Ratio


@dataclass(frozen=True)
class Answer:
    """What compiling did; ``why`` it failed, with nothing else, if so.

    ``compile_seconds`` are those of the first step beyond a later one, with empty caches on the disk;
    ``cached_seconds`` those of compiling again in the same process, from the cache: another one has to load the
    compiler too. ``pays_after`` is the number of steps after which the whole is faster than eager, None where it
    never is. ``breaks`` are the reasons why the model became more than one graph. ``layout`` is there for a step with convolutions, unless it is
    ``unasked`` since compiling takes so long.
    """

    why: str = ""
    eager: Timing | None = None
    compiled: Timing | None = None
    ratio: Ratio | None = None
    compile_seconds: float | None = None
    cached_seconds: float | None = None
    pays_after: int | None = None
    graphs: int | None = None
    breaks: tuple[str, ...] = ()
    layout: Layout | None = None
    unasked: bool = False
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
    convolutions = _Convolutions()  # type: ignore[no-untyped-call]
    with convolutions:
        eager()
    try:
        with warnings.catch_warnings(), _empty_caches():
            warnings.simplefilter("ignore")
            torch._dynamo.reset()
            _graphs()
            step, first = _first_step(file, where, batch_size, _compiling)
            step()  # a second step may be compiled once more
            graphs, breaks = _graphs()
            steps = {"eager": eager, "compiled": step}
            unasked = where.type == "cpu" and first > LONG
            if convolutions.called and not unasked:
                steps["contiguous"], _ = _first_step(file, where, batch_size, _contiguous)
            turns = Turns(steps)
            turns.run(budget)
            losses = [_loss(file, where, batch_size, around) for around in (_eagerly, _compiling)]
            torch._dynamo.reset()
            _, again = _first_step(file, where, batch_size, _compiling)
    except (UserError, RuntimeError, OSError, ImportError) as error:
        return Answer(why=_short(error))
    if not graphs:
        why = "loss(model, batch) does not compute by calling model(...)"
        if _called(file, where, batch_size):
            why = f"torch runs its forward() without compiling{': ' * bool(breaks)}{'; '.join(breaks[:1])}"
        return Answer(why=f"nothing was compiled: {why}", breaks=breaks)
    plain, fused = turns.timing("eager"), turns.timing("compiled")
    gain, cost = plain.seconds - fused.seconds, max(first - fused.seconds, 0.0)
    ratio = turns.ratio("compiled", "eager")
    return Answer(
        eager=plain,
        compiled=fused,
        ratio=ratio,
        compile_seconds=cost,
        cached_seconds=max(again - fused.seconds, 0.0),
        pays_after=math.ceil(cost / gain) if gain > 0 and ratio.word == "faster" else None,
        graphs=graphs,
        breaks=breaks,
        layout=Layout(turns.timing("contiguous"), turns.ratio("contiguous", "compiled"))
        if "contiguous" in steps
        else None,
        unasked=convolutions.called and unasked,
        loss=losses[1],
        eager_loss=losses[0],
    )


def _called(file: File, where: torch.device, batch_size: int) -> bool:
    """Return whether the loss is computed by calling what torch.compile returned."""
    calls = []
    kind: Any = torch._dynamo.OptimizedModule
    call = kind.__call__

    def noted(model: nn.Module, *arguments: Any, **named: Any) -> Any:
        calls.append(True)
        return call(model, *arguments, **named)

    with mock.patch.object(kind, "__call__", noted):
        _first_step(file, where, batch_size, _compiling)
    return bool(calls)


def _first_step(
    file: File, where: torch.device, batch_size: int, around: Callable[[nn.Module], nn.Module]
) -> tuple[Callable[[], torch.Tensor], float]:
    """Return a step after it was taken once, and the seconds of that."""
    step = training_step.make(file, where, batch_size, around=around)
    began = time.perf_counter()
    step()
    return step, time.perf_counter() - began


@contextlib.contextmanager
def _empty_caches() -> Iterator[None]:
    """Let the compiler keep its files in a new folder: what an earlier run left would be taken for its speed."""
    name = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory(prefix="metalassay-", ignore_cleanup_errors=True) as folder:
        os.environ[name] = folder
        try:
            yield
        finally:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before


def _graphs() -> tuple[int, tuple[str, ...]]:
    """Return how many graphs were compiled since the last call, and the reasons for more than one."""
    counters = torch._dynamo.utils.counters
    found = int(counters["stats"]["unique_graphs"])
    # What torch leaves alone as a whole, as for a break inside a loop, has no graph break.
    reasons = counters["graph_break"] if found else counters["unimplemented"]
    breaks = tuple(_break(each) for each in reasons)
    counters.clear()
    return found, breaks


class _Convolutions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes whether there are convolutions, whose layout inductor chooses."""

    called = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.called = self.called or "convolution" in func.name()
        return func(*args, **(kwargs or {}))


def _eagerly(model: nn.Module) -> nn.Module:
    return model


def _compiling(model: nn.Module) -> nn.Module:
    compiled: Any = torch.compile(model, backend=BACKEND)
    return cast(nn.Module, compiled)


def _contiguous(model: nn.Module) -> nn.Module:
    """As TORCHINDUCTOR_LAYOUT_OPTIMIZATION=0 does: convolutions keep the layout of their inputs."""
    options: Any = {"layout_optimization": False}
    compiled: Any = torch.compile(model, backend=BACKEND, options=options)
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
