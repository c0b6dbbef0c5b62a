"""Known bugs of MPS that a training step may meet: recorded on the CPU, matched with the catalogue by operator and input.

A row of the catalogue says which operators meet it, and with what inputs as far as a call shows it. That a row
matches does not mean that the step is wrong: it names what to look at.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from metalassay import bugs
from metalassay.ask import training_step
from metalassay.ask.contract import File
from metalassay.ask.first_difference import place
from metalassay.bugs.catalogue import MPS, Bug, Calls
from metalassay.environment import versions

# What an operator is called where torch has dispatched it, by the name that users and the catalogue know.
_DISPATCHED = {
    "native_layer_norm": "layer_norm",
    "native_batch_norm": "batch_norm",
    "_native_batch_norm_legit": "batch_norm",
    "_batch_norm_with_update": "batch_norm",
}
_ATTENTION = "scaled_dot_product_attention"


@dataclass(frozen=True)
class Given:
    """A tensor that a call took: its place among the arguments, what it is, its shape."""

    argument: int
    inputs: frozenset[str]
    shape: tuple[int, ...]


class Recorder:
    """Notes the calls of ``operators`` inside the block of ``running``, and what tensors they took.

    ``seen`` has by operator the tensors, each with the line of its first call; ``count`` the calls of every
    operator that torch dispatched, whatever it is.
    """

    def __init__(self, operators: frozenset[str]) -> None:
        self.operators = operators
        self.seen: dict[str, dict[Given, str]] = {}
        self.count: Counter[str] = Counter()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Record this thread, its forward pass and the backward pass that it starts."""
        with _Functions(self), _Operators(self):
            yield

    def note(self, name: str, args: Any, kwargs: Mapping[str, Any]) -> None:
        """Note a call, if it is one of ``operators``."""
        if name not in self.operators:
            return
        of_call = {"non_blocking"} if kwargs.get("non_blocking") else set()
        found = self.seen.setdefault(name, {})
        for at, argument in enumerate([*args, *kwargs.values()]):
            for leaf in tree_leaves(argument):
                if isinstance(leaf, Tensor):
                    with torch.utils._python_dispatch._disable_current_modes():
                        given = Given(at, frozenset(_inputs(leaf) | of_call), tuple(leaf.shape))
                    if given not in found:
                        found[given] = place()


def _inputs(tensor: Tensor) -> set[str]:
    """Return what the catalogue may ask for of a tensor."""
    found = set()
    if tensor.layout == torch.strided:
        if not tensor.is_contiguous():
            found.add("strided")
        if tensor.storage_offset():
            found.add("offset")
        if tensor.is_floating_point() and bool(tensor.detach().isnan().any()):
            found.add("nan")
    if not tensor.numel():
        found.add("empty")
    if tensor.dtype == torch.bool:
        found.add("bool")
    elif tensor.dtype in (torch.float16, torch.bfloat16):
        found.add("half")
    elif not (tensor.is_floating_point() or tensor.is_complex()):
        found.add("integer")
    if torch.is_grad_enabled() and not tensor.requires_grad:
        found.add("frozen")
    return found


class _Functions(TorchFunctionMode):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._recorder.note(getattr(func, "__name__", ""), args, kwargs or {})
        return func(*args, **(kwargs or {}))


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self._recorder.count[name] += 1
        # Below autograd nothing requires a gradient: what asks for that is seen above it.
        with torch.no_grad():
            self._recorder.note(_known_as(name, args), args, kwargs or {})
        return func(*args, **(kwargs or {}))


def _known_as(name: str, args: Any) -> str:
    if name.startswith(f"_{_ATTENTION.removesuffix('_attention')}") and "backward" not in name:
        return _ATTENTION
    if name in ("convolution", "_convolution"):
        return f"conv{args[0].dim() - 2}d"
    return _DISPATCHED.get(name, name)


def ask(file: File, batch_size: int, torch_version: str) -> dict[str, Any]:
    """Return the bugs of MPS that a step of ``file`` may meet with a torch, "" for the installed one."""
    installed = versions.installed()
    if torch_version:
        installed["torch"] = torch_version
    candidates = [
        bug for bug in bugs.load() if bug.needs == MPS and bug.calls and may_hit(bug, installed)
    ]
    recorder = Recorder(frozenset(name for bug in candidates for name in _calls(bug).operators))
    step = training_step.make(file, torch.device("cpu"), batch_size)
    with recorder.running():
        step()
    return {
        "torch": installed["torch"],
        "macos": installed.get(versions.MACOS, ""),
        "operators": len(recorder.count),
        "rows": [row for bug in candidates if (row := _row(bug, recorder)) is not None],
    }


def may_hit(bug: Bug, installed: Mapping[str, str]) -> bool:
    """Return whether a bug may be met with these versions; elsewhere than on a Mac, on some Mac."""
    unknown = {versions.MACOS, versions.APPLE_SILICON} - installed.keys()
    return any(
        all(
            package in unknown
            or (package in installed and specifier.contains(installed[package], prereleases=True))
            for package, specifier in alternative.items()
        )
        for alternative in bug.where
    )


def met(calls: Calls, recorder: Recorder) -> list[tuple[str, str]]:
    """Return the operators of ``calls`` that were called in that way, each with the line of the first."""
    found = []
    for name in calls.operators:
        for given, line in recorder.seen.get(name, {}).items():
            if _fits(calls, given):
                found.append((name, line))
                break
    return found


def _fits(calls: Calls, given: Given) -> bool:
    if calls.argument not in (None, given.argument):
        return False
    if not calls.inputs - {"compiled"} <= given.inputs:
        return False
    sides = given.shape
    if calls.dimension is not None:
        sides = (sides[calls.dimension],) if len(sides) >= abs(calls.dimension) else ()
    if calls.longer_than is not None and max(sides, default=0) <= calls.longer_than:
        return False
    return calls.at_most is None or (bool(sides) and max(sides) <= calls.at_most)


def _row(bug: Bug, recorder: Recorder) -> dict[str, Any] | None:
    calls = _calls(bug)
    found = met(calls, recorder)
    if not found:
        return None
    return {
        "id": bug.id,
        "title": bug.title,
        "link": bug.link,
        "where": bug.where_text(),
        "inputs": sorted(calls.inputs),
        "operators": [name for name, _ in found],
        "place": next((line for _, line in found if line), ""),
        "fix": bug.advice()[0] if bug.fixes else "",
    }


def _calls(bug: Bug) -> Calls:
    assert bug.calls is not None  # noqa: S101  (only such are looked at)
    return bug.calls
