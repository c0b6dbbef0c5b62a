"""Right or wrong on a device: the same weights and batch there, on the CPU, and on the CPU in float64.

Outputs of layers, loss and gradients are compared with float64: what the CPU's float32 is off by is what
rounding explains. Then the step runs once more with each operator beside the CPU's (``first_difference``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from metalassay.ask.contract import SEED, File, Subject, without_dropout
from metalassay.ask.first_difference import NO_NUMBERS, SLACK, Compare, Difference
from metalassay.errors import UserError
from metalassay.measure import device

EPS = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Row:
    """One loss, output of a layer, or gradient: its errors relative to the largest float64 number in it."""

    what: str
    name: str
    error: float
    cpu_error: float
    wrong: str

    @property
    def allowed(self) -> float:
        """The largest error that rounding explains."""
        return SLACK * (self.cpu_error + EPS)


@dataclass(frozen=True)
class Answer:
    """What was found. ``random`` says that the step draws random numbers, so that its rows say nothing.

    ``rows`` are in the order of the step: outputs, the loss, gradients; ``differences`` are the operators
    that are wrong by themselves, the first one first; ``skipped`` those that were not compared, and why.
    ``strided`` and ``not_finite`` count the compared calls with an input that is not contiguous, or that has
    a NaN or an infinite number. ``varied`` counts the operators that were called again with such inputs, by what was
    other, and ``elsewhere`` are those that are wrong with them alone, which the step does not meet.
    """

    device: str
    emulated: bool
    loss: float
    cpu_loss: float
    exact_loss: float | None
    random: bool
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    compared: int
    calls: int
    skipped: dict[str, str]
    strided: int
    not_finite: int
    varied: dict[str, int]
    elsewhere: tuple[Difference, ...]

    @property
    def right(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.differences and (self.random or not any(each.wrong for each in self.rows))


@dataclass
class _Seen:
    """What one run of a step computed, on the CPU in float64."""

    loss: Tensor
    outputs: dict[str, Tensor]
    gradients: dict[str, Tensor]


def ask(file: File, where: torch.device, batch_size: int) -> Answer:
    """Compare a training step of the user's file on ``where`` with the CPU."""
    cpu = torch.device("cpu")
    plain = _run(without_dropout(file.subject(batch_size, cpu)))
    try:
        exact = _run(without_dropout(file.subject(batch_size, cpu, torch.float64)))
    except (RuntimeError, TypeError, UserError):
        exact = None  # written for float32 alone
    here = _run(without_dropout(file.subject(batch_size, where)))
    subject = without_dropout(file.subject(batch_size, where))
    with _named_modules(subject.model) as module:
        compare = Compare(where, module)
        with compare:
            _seeded(where)
            subject.loss().backward()  # type: ignore[no-untyped-call]
    draws = any("random" in why for why in compare.skipped.values())
    return Answer(
        device=where.type,
        emulated=device.emulated(where),
        loss=float(here.loss),
        cpu_loss=float(plain.loss),
        exact_loss=None if exact is None else float(exact.loss),
        random=draws,
        rows=tuple(_rows(here, plain, exact)),
        differences=tuple(compare.found.values()),
        compared=len(compare.compared),
        calls=compare.calls,
        skipped=dict(compare.skipped),
        strided=compare.strided,
        not_finite=compare.not_finite,
        varied=dict(compare.varied),
        elsewhere=tuple(compare.elsewhere),
    )


def _rows(here: _Seen, plain: _Seen, exact: _Seen | None) -> Iterator[Row]:
    best = exact or plain
    groups: tuple[tuple[str, Callable[[_Seen], dict[str, Tensor]]], ...] = (
        ("output", lambda seen: seen.outputs),
        ("loss", lambda seen: {"": seen.loss}),
        ("gradient", lambda seen: seen.gradients),
    )
    for what, of in groups:
        for name, one in of(here).items():
            if name in of(plain) and name in of(best):
                yield _row(what, name, one, of(plain)[name], of(best)[name])


def _row(what: str, name: str, one: Tensor, cpu: Tensor, best: Tensor) -> Row:
    if one.shape != cpu.shape:
        return Row(
            what, name, math.inf, 0.0, f"shape {tuple(one.shape)}, on the CPU {tuple(cpu.shape)}"
        )
    for word, test in NO_NUMBERS:
        wrong = int((test(one) != test(cpu)).sum())
        if wrong:
            return Row(
                what, name, math.inf, 0.0, f"{wrong:,} elements are {word} on one of both only"
            )
    finite = torch.isfinite(cpu) & torch.isfinite(best)
    if not bool(finite.any()):
        return Row(what, name, 0.0, 0.0, "")
    largest = float(best[finite].abs().max()) or 1.0
    row = Row(
        what, name,
        float((one - best)[finite].abs().max()) / largest,
        float((cpu - best)[finite].abs().max()) / largest,
        "",
    )  # fmt: skip
    if row.error <= row.allowed:
        return row
    why = f"off by {row.error:.2g} of the largest number; rounding explains {row.allowed:.2g}"
    return Row(what, name, row.error, row.cpu_error, why)


def _run(subject: Subject) -> _Seen:
    outputs: dict[str, Tensor] = {}
    where = next(iter(subject.model.parameters())).device

    def keep(name: str) -> Any:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            leaves = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
            if leaves and leaves[0].is_floating_point():
                outputs.setdefault(name, _kept(leaves[0]))

        return hook

    handles = [
        module.register_forward_hook(keep(name))
        for name, module in subject.model.named_modules()
        if not list(module.children())
    ]
    _seeded(where)
    loss = subject.loss()
    loss.backward()  # type: ignore[no-untyped-call]
    device.synchronize(where)
    for handle in handles:
        handle.remove()
    gradients = {
        name: _kept(each.grad)
        for name, each in subject.model.named_parameters()
        if each.grad is not None
    }
    return _Seen(_kept(loss), outputs, gradients)


def _kept(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return (tensor if tensor.layout == torch.strided else tensor.to_dense()).cpu().double()


def _seeded(where: torch.device) -> None:
    device.set_rng_state(where, None, SEED)


@contextmanager
def _named_modules(model: nn.Module) -> Iterator[Callable[[], str]]:
    """Keep the name of the module that is computed, "" outside of all."""
    stack: list[str] = []
    handles = []
    for name, module in model.named_modules():
        if name:
            handles.append(
                module.register_forward_pre_hook(lambda *_, name=name: stack.append(name))
            )
            handles.append(module.register_forward_hook(lambda *_: stack.pop() and None))
    try:
        yield lambda: stack[-1] if stack else ""
    finally:
        for handle in handles:
            handle.remove()
