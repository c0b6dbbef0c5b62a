"""Finds the first operator that computes something else on a device than on the CPU.

While a step runs on the device, each operator is run again on the CPU with copies of the very inputs that
it got there, once as it is and once in float64. So an error does not travel: the operator that is named
is the one that made it. Copies keep strides, offsets and what shares memory, because a kernel that reads
a non-contiguous input wrongly is right with a contiguous copy of it.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from metalassay.ask import varied_inputs
from metalassay.ask.copied_inputs import Copies, no_modes

SLACK = 16.0
"""An error may be this many times the CPU's own in the same dtype, and this many roundings of the largest number."""
# Which of several equal numbers is taken is not specified, so places are compared by the numbers that are there.
_PLACES = {
    "aten::max.dim": 1, "aten::min.dim": 1, "aten::median.dim": 1, "aten::nanmedian.dim": 1,
    "aten::mode": 1, "aten::topk": 1, "aten::sort": 1, "aten::sort.stable": 1, "aten::kthvalue": 1,
    "aten::argmax": 0, "aten::argmin": 0,
}  # fmt: skip
# Of these the places count something else than elements of one dimension; the numbers are compared alone.
_UNCOMPARED = {
    "aten::cummax": 1, "aten::cummin": 1, "aten::_cummax_helper": 1,
    "aten::max_pool2d_with_indices": 1, "aten::max_pool3d_with_indices": 1,
    "aten::adaptive_max_pool2d": 1, "aten::adaptive_max_pool3d": 1,
}  # fmt: skip
_UNINITIALISED = ("aten::empty", "aten::new_empty", "aten::empty_like", "aten::empty_strided",
                  "aten::new_empty_strided", "aten::resize_")  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """An operator whose result on the device is not explained by rounding.

    ``error`` is the largest error of an element relative to the largest element, ``allowed`` what rounding
    explains; both are infinite or NaN where one side has a number and the other has none. ``arguments``
    are what it was called with, on the CPU, from before the call. ``inputs`` says what was made other about
    them, "" where the step itself called it like that.
    """

    operator: str
    number: int  # of the call, from 1
    what: str
    error: float
    allowed: float
    module: str
    place: str
    arguments: tuple[Any, ...] = field(repr=False, default=())
    keywords: Mapping[str, Any] = field(repr=False, default_factory=dict)
    inputs: str = ""


class Compare(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that compares each operator on a device with the CPU.

    ``found`` are the differences in the order of the calls, one for each operator; ``compared`` counts the
    calls of each, and ``skipped`` has the reason why a call was not compared. ``strided`` counts the compared calls
    with an input that is not contiguous, ``not_finite`` those with a NaN or an infinite number in one. The first
    call of each operator is made again with such inputs (``varied_inputs``): ``varied`` counts these calls by what is
    other, and ``elsewhere`` has what differs in them alone.
    """

    def __init__(self, where: torch.device, module: Callable[[], str] = lambda: "") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.where, self._module = where, module
        self.found: dict[str, Difference] = {}
        self.compared: Counter[str] = Counter()
        self.skipped: dict[str, str] = {}
        self.varied: Counter[str] = Counter()
        self.elsewhere: list[Difference] = []
        self.calls = self.strided = self.not_finite = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = func.name()
        if not self._concerns(args, kwargs):
            return func(*args, **kwargs)
        self.calls += 1
        why = _not_comparable(func, name, args, kwargs)
        if why or name in self.found:
            self._skip(name, why)
            return func(*args, **kwargs)
        before = Copies(args, kwargs)
        result = func(*args, **kwargs)
        with no_modes(), torch.no_grad():
            self._compare(func, name, before, result, args, kwargs)
        if self.compared[name] == 1 and name not in self.found:
            with torch.no_grad():
                self._vary(func, name, before)
        return result

    def _concerns(self, args: Any, kwargs: Any) -> bool:
        """Whether the device takes part: an argument is there, or the result is wanted there."""
        leaves = tree_leaves((args, kwargs))
        return any(
            (isinstance(leaf, Tensor) and leaf.device.type == self.where.type)
            or (isinstance(leaf, torch.device) and leaf.type == self.where.type)
            for leaf in leaves
        )

    def _skip(self, name: str, why: str) -> None:
        if why:
            self.skipped.setdefault(name, why)

    def _compare(
        self, func: Any, name: str, before: Copies, result: Any, args: Any, kwargs: Any
    ) -> None:
        wanted = self._on_the_cpu(func, name, before)
        if isinstance(wanted, str):
            self._skip(name, wanted)
            return
        self.compared[name] += 1
        self.strided += before.strided()
        self.not_finite += before.not_finite()
        verdict = _verdict(func, name, _outputs(func, result, args, kwargs), *wanted, before)
        if verdict is not None:
            self.found[name] = self._difference(name, verdict, before)

    def _vary(self, func: Any, name: str, before: Copies) -> None:
        """Call an operator again on the device, with inputs that the step did not give it."""
        for what, copies in varied_inputs.of(name, before):
            with no_modes():
                wanted = self._on_the_cpu(func, name, copies)
            if isinstance(wanted, str):
                continue  # not for inputs like these
            no_number = what == varied_inputs.NOT_FINITE and name not in _PLACES
            if no_number and varied_inputs.has_integers(wanted[0]):
                continue
            self.varied[what] += 1
            verdict: tuple[str, float, float] | None
            try:
                # Outside of no_modes: the device is what it is in the step.
                (args, kwargs), result = copies.run(func, None, self.where)
            except (RuntimeError, TypeError, IndexError) as error:
                verdict = (f"it fails, and not on the CPU: {_first_line(error)}", math.inf, 0.0)
            else:
                with no_modes():
                    outputs = _outputs(func, result, args, kwargs)
                    verdict = _verdict(func, name, outputs, *wanted, copies)
            if verdict is not None:
                self.elsewhere.append(self._difference(name, verdict, copies, what))

    def _on_the_cpu(
        self, func: Any, name: str, before: Copies
    ) -> tuple[list[Any], list[Any]] | str:
        """Return what the CPU computes of the same inputs, as it is and in float64, or why it cannot."""
        reference = _REFERENCES.get(name, func)
        try:
            plain_arguments, plain = before.run(reference, None)
        except NotImplementedError:
            return "the CPU has no such operator"
        except (RuntimeError, TypeError, IndexError) as error:
            return f"the CPU cannot run it: {_first_line(error)}"
        try:
            exact_arguments, exact = before.run(reference, torch.float64)
        except (NotImplementedError, RuntimeError, TypeError, IndexError):
            exact_arguments, exact = plain_arguments, plain  # judged by its own dtype
        return _outputs(func, plain, *plain_arguments), _outputs(func, exact, *exact_arguments)

    def _difference(
        self, name: str, verdict: tuple[str, float, float], before: Copies, inputs: str = ""
    ) -> Difference:
        arguments, keywords = before.originals()
        return Difference(
            name.removeprefix("aten::"), self.calls, *verdict, self._module(), place(), arguments, keywords,
            inputs,
        )  # fmt: skip


def _verdict(
    func: Any, name: str, here: list[Any], there: list[Any], ideal: list[Any], before: Copies
) -> tuple[str, float, float] | None:
    """Return what is wrong with the first result that is, its error and the allowed one; None if none is."""
    if "attention" in name and "backward" not in name:
        here = here[:1]  # the rest is for its own backward pass
    for at, (one, cpu, best) in enumerate(zip(here, there, ideal, strict=False)):
        if at == _UNCOMPARED.get(name):
            continue
        if at == _PLACES.get(name):
            verdict = _judge_places(func, one, cpu, *before.originals())
        else:
            verdict = judge(one, cpu, best)
        if verdict is not None:
            return verdict
    return None


def _judge_places(
    func: Any, one: Tensor, cpu: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[str, float, float] | None:
    """Return what is wrong with places in the first argument, by the numbers that stand there."""
    names = [argument.name for argument in func._schema.arguments]

    def given(name: str, default: Any) -> Any:
        at = names.index(name) if name in names else len(args)
        return args[at] if at < len(args) else kwargs.get(name, default)

    x, one = args[0], one.cpu()
    if tuple(one.shape) != tuple(cpu.shape):
        return judge(one, cpu, cpu)
    dim = given("dim", None if "arg" in func.name() else -1)
    if x.dim() == 0:
        return judge(one, cpu, cpu)
    if dim is None:
        x, dim, one, cpu = x.reshape(-1), 0, one.reshape(-1), cpu.reshape(-1)
    elif one.dim() < x.dim():
        one, cpu = one.unsqueeze(dim), cpu.unsqueeze(dim)
    outside = int(((one < 0) | (one >= x.shape[dim])).sum())
    if outside:
        return (f"{outside:,} of {one.numel():,} places do not exist", math.inf, 0.0)
    chosen = [x.gather(dim, places) for places in (one, cpu)]
    wrong = int((~((chosen[0] == chosen[1]) | (chosen[0].isnan() & chosen[1].isnan()))).sum())
    if not wrong:
        return None
    return (f"{wrong:,} of {one.numel():,} places are those of other numbers", math.inf, 0.0)


NO_NUMBERS: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("NaN", torch.isnan),
    ("infinite", torch.isposinf),
    ("minus infinite", torch.isneginf),
)
"""What is no finite number, and how it is found in real numbers."""


def judge(one: Any, cpu: Any, best: Any) -> tuple[str, float, float] | None:
    """Return what is wrong with a result of the device, its error and the allowed one; None if nothing is."""
    if not isinstance(one, Tensor):
        if isinstance(one, float) and isinstance(cpu, float):
            one, cpu, best = (
                torch.tensor(each, dtype=torch.float64) for each in (one, cpu, float(best))
            )
        elif isinstance(cpu, Tensor):
            return (f"it is {one!r}, and a tensor on the CPU", math.inf, 0.0)
        elif one == cpu:
            return None
        else:
            return (f"it is {one!r}, and {cpu!r} on the CPU", math.inf, 0.0)
    if not isinstance(cpu, Tensor):
        return (f"it is a tensor, and {cpu!r} on the CPU", math.inf, 0.0)
    one = _dense(one.detach()).cpu()
    cpu, best = _dense(cpu.detach()), _dense(best.detach())
    if tuple(one.shape) != tuple(cpu.shape):
        return (
            f"its shape is {tuple(one.shape)}, and {tuple(cpu.shape)} on the CPU",
            math.inf,
            0.0,
        )
    if one.dtype != cpu.dtype:
        return (f"its dtype is {_dtype(one)}, and {_dtype(cpu)} on the CPU", math.inf, 0.0)
    if one.numel() == 0:
        return None
    if not (one.is_floating_point() or one.is_complex()):
        wrong = int((one != cpu).sum())
        return (f"{wrong:,} of {one.numel():,} elements differ", math.inf, 0.0) if wrong else None
    kind = torch.complex128 if one.is_complex() else torch.float64
    rounding = torch.finfo(one.dtype).eps
    one, cpu, best = one.to(kind), cpu.to(kind), best.to(kind)
    for name, test in NO_NUMBERS[: 1 if one.is_complex() else None]:
        wrong = int((test(one) != test(cpu)).sum())
        if wrong:
            return (
                f"{wrong:,} of {one.numel():,} elements are {name} on one of both only",
                math.inf,
                0.0,
            )
    finite = torch.isfinite(cpu) & torch.isfinite(best)
    if not bool(finite.any()):
        return None
    one, cpu, best = one[finite], cpu[finite], best[finite]
    largest = float(best.abs().max())
    if largest == 0:
        largest = 1.0
    error = float((one - best).abs().max()) / largest
    own = float((cpu - best).abs().max()) / largest
    allowed = SLACK * (own + rounding)
    if error <= allowed:
        return None
    return (
        f"off by {error:.2g} of the largest number; rounding explains {allowed:.2g}",
        error,
        allowed,
    )


def _outputs(func: Any, result: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """Return what a call computed: its results, and the arguments that it has changed."""
    changed = []
    for at, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[at] if at < len(args) else kwargs.get(argument.name)
            changed += [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
    return [*tree_leaves(result), *changed]


def _linear_backward(x: Tensor, grad: Tensor, weight: Tensor, wanted: Sequence[bool]) -> Any:
    rows, flat = grad.reshape(-1, grad.shape[-1]), x.reshape(-1, x.shape[-1])
    return (
        grad @ weight if wanted[0] else None,
        rows.t() @ flat if wanted[1] else None,
        rows.sum(0) if wanted[2] else None,
    )


def _max_pool2d_backward(grad: Tensor, x: Tensor, *window: Any) -> Tensor:
    _, places = torch.ops.aten.max_pool2d_with_indices.default(x, *window)
    # What is left out of a call has these values.
    left_out: tuple[Any, ...] = ([], [0, 0], [1, 1], False)
    kernel, stride, padding, dilation, ceil = [*window, *left_out[len(window) - 1 :]]
    result: Tensor = torch.ops.aten.max_pool2d_with_indices_backward.default(
        grad, x, kernel, stride, padding, dilation, ceil, places
    )
    return result


# Operators that only MPS has, by what they compute.
_REFERENCES: dict[str, Callable[..., Any]] = {
    "aten::max_pool2d_backward": _max_pool2d_backward,
    "aten::linear_backward": _linear_backward,
    "aten::_scaled_dot_product_attention_math_for_mps": (
        torch.ops.aten._scaled_dot_product_attention_math.default
    ),
}


def _not_comparable(func: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return why two calls of an operator need not agree, "" where they do."""
    if name.partition(".")[0] in _UNINITIALISED:
        return "its result is uninitialised"
    if torch.Tag.nondeterministic_seeded in func.tags:
        names = [argument.name for argument in func._schema.arguments]
        if "dropout_p" not in names:
            return "it draws random numbers"
        at = names.index("dropout_p")
        dropped = args[at] if at < len(args) else kwargs.get("dropout_p", 0.0)
        return "it draws random numbers" if dropped else ""
    return ""


def _dense(tensor: Tensor) -> Tensor:
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


_OURS = str(Path(__file__).parent)
_TORCH = str(Path(torch.__file__).parent)


def place() -> str:
    """Return the innermost line that is neither torch's nor ours, "" in the thread of a backward pass."""
    frame = sys._getframe()
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_OURS, _TORCH, "<", sys.base_prefix)):
            return f"{Path(file).name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""
