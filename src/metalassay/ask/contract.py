"""Reads the user's file, and makes the model, the batch and the loss that it defines.

The file defines ``make(batch_size)``, which returns a model and a batch on the CPU, and may define
``loss(model, batch)``. A batch is a tensor, or a dict, tuple or list of them. Without a loss the model is
called with the batch, and the loss is what its output has as ``loss``, or else the mean of the squares of
its numbers, which exercises the same backward pass.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from metalassay.ask import offline, template
from metalassay.errors import UserError, reason

SEED = 0
_OURS = str(Path(__file__).parents[1])
_PROBABILITIES = ("dropout", "dropout_p", "dropout_prob", "attention_dropout", "attn_dropout")
_SHAPE = "metalassay init-step shows what the file has to look like"
_ON_ITS_DEVICE = "create it on the device of the others, as in torch.eye(n, device=x.device)"
_ON_THE_CPU = "leave everything on the CPU: what is asked about decides the device"
# What torch says of a device that is not here, and of tensors on two.
_NO_DEVICE = re.compile(
    r"not compiled with CUDA|no NVIDIA|No CUDA GPUs|not linked with support for \w+ devices|MPS backend is|"
    r"Attempting to deserialize object on"
)
_TWO_DEVICES = re.compile(
    r"on the same device|Placeholder storage has not been allocated|is on cpu but expected on|"
    r"(MPS\w+Type|torch\.cuda\.\w+).* should be the same"
)


@dataclass(frozen=True)
class Subject:
    """The user's model with a batch of ``batch_size`` samples, both on one device.

    ``loss_of`` returns a scalar that can be trained on, for the model or for one that stands for it, as a
    compiled one does. ``stand_in`` is true where the loss is ours.
    """

    model: nn.Module
    batch: Any
    loss_of: Callable[[nn.Module], Tensor]
    stand_in: bool
    batch_size: int

    def loss(self) -> Tensor:
        """Return the loss of the batch."""
        return self.loss_of(self.model)


class File:
    """The user's file, executed once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        module = _execute(path)
        self._make = getattr(module, "make", None)
        self._loss = getattr(module, "loss", None)
        if not callable(self._make):
            raise UserError(f"{path} defines no make(batch_size)", _SHAPE)
        if self._loss is not None and not callable(self._loss):
            raise UserError(f"{path}: loss is no function", "write def loss(model, batch)")
        with contextlib.suppress(TypeError, ValueError):
            inspect.signature(self._make).bind(1)
            return
        raise UserError(
            f"{path}: make does not take a batch size alone", "write def make(batch_size)"
        )

    def subject(
        self,
        batch_size: int,
        where: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> Subject:
        """Return the model and a batch on ``where``, with floating-point numbers in ``dtype``.

        Weights and data are those of one seed, drawn on the CPU, so they are the same on every device.
        Raises ``UserError`` for what cannot be used.
        """
        with _seeded(), _named(f"{self.path}: make({batch_size})"):
            made = self._make(batch_size)  # type: ignore[misc]  # checked to be callable
        if not (isinstance(made, (tuple, list)) and len(made) == 2):
            raise UserError(
                f"{self.path}: make({batch_size}) returns {_kind(made)}, not a model and a batch",
                "return model, batch",
            )
        model, batch = made
        if not isinstance(model, nn.Module):
            raise UserError(
                f"{self.path}: the model that make returns is {_kind(model)}, not a torch.nn.Module",
                _SHAPE,
            )
        tensors = [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)]
        if not tensors:
            raise UserError(f"{self.path}: the batch that make returns has no tensor in it", _SHAPE)
        for each in [*model.parameters(), *model.buffers(), *tensors]:
            if each.device.type not in ("cpu", "meta"):
                raise UserError(
                    f"{self.path}: make returns a tensor on {each.device}",
                    _ON_THE_CPU,
                )
        model = model.to(where, dtype) if dtype != torch.float32 else model.to(where)
        batch = tree_map(lambda leaf: _moved(leaf, where, dtype), batch)
        return Subject(
            model, batch, lambda one: self._scalar(one, batch), self._loss is None, batch_size
        )

    def _scalar(self, model: nn.Module, batch: Any) -> Tensor:
        if self._loss is None:
            return stand_in(called(model, batch))
        value = self._loss(model, batch)
        if not isinstance(value, Tensor):
            raise UserError(
                f"{self.path}: loss returns {_kind(value)}, not a tensor",
                "return the tensor itself, without .item() or float()",
            )
        if value.numel() != 1:
            raise UserError(
                f"{self.path}: loss returns {value.numel():,} numbers (shape {tuple(value.shape)}), not one",
                "return its mean",
            )
        return value.reshape(())


def called(model: nn.Module, batch: Any) -> Any:
    """Return what the model makes of a batch: keywords from a dict, positions from a tuple or list."""
    if isinstance(batch, Mapping):
        return model(**batch)
    if isinstance(batch, (tuple, list)):
        return model(*batch)
    return model(batch)


def stand_in(output: Any) -> Tensor:
    """Return a loss for the output of a model that comes without one."""
    own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if isinstance(own, Tensor):
        return own.mean()
    leaves = tree_leaves(dict(output) if isinstance(output, Mapping) else output)
    numbers = [each for each in leaves if isinstance(each, Tensor) and each.is_floating_point()]
    if not numbers:
        raise UserError("the model returns no floating-point tensor", "define loss(model, batch)")
    total: Tensor = sum(
        (each.square().mean() for each in numbers), torch.zeros((), device=numbers[0].device)
    )
    return total


def without_dropout(subject: Subject) -> Subject:
    """Turn the dropout of a subject off: every device draws other random numbers.

    Recurrent layers and attention have a probability of their own, under one of a few names.
    """
    for module in subject.model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        for name in _PROBABILITIES:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return subject


def validate(file: File, batch_size: int) -> None:
    """Raise ``UserError`` where the file cannot be asked about: tried on the CPU, with two batch sizes."""
    cpu = torch.device("cpu")
    with _offline(str(file.path)):
        shapes = [_shapes(file.subject(batch_size, cpu).batch) for _ in range(2)]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"{file.path}: make({batch_size}) returns other shapes each time, {_told(shapes)}",
                "draw lengths with torch alone, or give every batch one shape",
            )
        _validate(file, batch_size, cpu)


def validate_on(file: File, batch_size: int, where: torch.device) -> None:
    """Raise ``UserError`` where a step on ``where`` uses a tensor that stays on another device.

    Whatever else fails there is an answer, and not a mistake of the file.
    """
    subject = file.subject(batch_size, where)
    try:
        with _seeded(), _named(f"{file.path}: loss on {where.type}"):
            subject.loss()
    except UserError as error:
        if error.next_step == _ON_ITS_DEVICE:
            raise


def _validate(file: File, batch_size: int, cpu: torch.device) -> None:
    first = _losses(file, batch_size, cpu)
    again = _losses(file, batch_size, cpu)
    if not math.isfinite(first[0]):
        raise UserError(
            f"{file.path}: the loss is {first[0]} on the CPU already",
            "give it data with a finite loss",
        )
    if first != again:
        raise UserError(
            f"{file.path}: the same seed gives different losses on the CPU ({first[0]:.9g} and {again[0]:.9g})",
            "draw random numbers with torch alone, inside make and loss",
        )
    one, two = (file.subject(size, cpu) for size in (batch_size, batch_size + 1))
    if _shapes(one.batch) == _shapes(two.batch):
        raise UserError(
            f"{file.path}: make({batch_size}) and make({batch_size + 1}) return batches of the same shape",
            "make the batch as long as batch_size says",
        )


@contextlib.contextmanager
def _offline(what: str) -> Iterator[None]:
    """Say in one line that the user's code talks to the network, whatever became of that."""
    with offline.watched() as hosts:
        try:
            yield
        except UserError:
            if not hosts:
                raise
    if hosts:
        raise UserError(
            f"{what}: it connects to {', '.join(hosts)}, and a measurement must not",
            "load it from a file; what a hub has stored here already: HF_HUB_OFFLINE=1 metalassay ask ...",
        )


def _told(shapes: list[list[tuple[int, ...]]]) -> str:
    one, two = (", ".join(map(str, each[:3])) for each in shapes)
    return f"as {one} and {two}"


def _losses(file: File, batch_size: int, where: torch.device) -> list[float]:
    subject = file.subject(batch_size, where)
    with _seeded(), _named(f"{file.path}: loss"):
        value = subject.loss()
    if not value.requires_grad:
        raise UserError(
            f"{file.path}: the loss has no gradient",
            "compute it from the model, without no_grad or detach",
        )
    with _named(f"{file.path}: the backward pass"):
        value.backward()  # type: ignore[no-untyped-call]
    gradients = [each.grad for each in subject.model.parameters() if each.grad is not None]
    return [value.item(), *(float(each.double().norm()) for each in gradients)]


def _shapes(batch: Any) -> list[tuple[int, ...]]:
    return [tuple(leaf.shape) for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)]


def _moved(leaf: Any, where: torch.device, dtype: torch.dtype) -> Any:
    if not isinstance(leaf, Tensor):
        return leaf
    return leaf.to(where, dtype) if leaf.is_floating_point() else leaf.to(where)


def _execute(path: Path) -> Any:
    if path.suffix != ".py" or not path.is_file():
        raise UserError(f"{path} is no Python file", "metalassay init-step my.py writes one")
    sys.path.insert(0, str(path.parent.absolute()))
    loader = importlib.util.spec_from_file_location(path.stem, path)
    assert loader is not None  # noqa: S101  (its name ends in .py)
    assert loader.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(loader)
    sys.modules[path.stem] = module
    with _offline(str(path)), _seeded(), _named(str(path)):
        loader.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        yield


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Say in one line where the user's code failed."""
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except Exception as error:
        trace = error.__traceback__
        place = ""
        while trace is not None:
            if not trace.tb_frame.f_code.co_filename.startswith(("<", sys.prefix, _OURS)):
                place = (
                    f" (line {trace.tb_lineno} of {Path(trace.tb_frame.f_code.co_filename).name})"
                )
            trace = trace.tb_next
        raise _told_apart(what, error, place) from error


def _told_apart(what: str, error: Exception, place: str) -> UserError:
    """Return the error of the user's code, with the cure where it is about a device."""
    said = str(error)
    if _NO_DEVICE.search(said):
        return UserError(
            f"{what} asks for a device that is not here{place}: {reason(error)}", _ON_THE_CPU
        )
    if _TWO_DEVICES.search(said):
        return UserError(
            f"{what} uses a tensor on another device{place}: {reason(error)}", _ON_ITS_DEVICE
        )
    alone = "run the file alone first" if what.endswith(".py") else template.BY_HAND
    return UserError(f"{what} failed: {reason(error)}{place}", alone)


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
