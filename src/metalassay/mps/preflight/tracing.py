"""Record the operators that a program calls. Runs beside the user's torch, without metalassay.

A dispatch mode alone does not see everything that would be dispatched on a Mac:

- A composite with its own autograd formula is a single call to the mode. The recorder runs the
  composite itself with the mode on, and so sees the operators that it is made of.
- A composite without such a formula is decomposed before the mode is called. A function mode, which
  is called earlier, notes its name, and the calls that it makes are recorded below it.

Every call is stored with the operators around it, outermost first, so that the reader can stop at
the first one for which a torch version has a kernel.
"""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
from collections import Counter
from types import FrameType
from typing import Any

import torch
from torch._C import DispatchKey
from torch._ops import OpOverloadPacket
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_TORCH = os.path.dirname(torch.__file__) + os.sep  # noqa: PTH120  (compared with co_filename)
_DATA = os.path.join(_TORCH, "utils", "data") + os.sep  # noqa: PTH118
_LIBRARIES = tuple(
    path + os.sep
    for path in {*sysconfig.get_paths().values(), os.path.dirname(os.__file__)}  # noqa: PTH120
)
_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120
_WIDE = (torch.float64, torch.complex128)
_COMPOSITES = (
    (DispatchKey.CompositeExplicitAutograd, "CompositeExplicitAutograd"),
    (DispatchKey.CompositeExplicitAutogradNonFunctional, "CompositeExplicitAutogradNonFunctional"),
    # Reached only inside other composites, below autograd.
    (DispatchKey.CompositeImplicitAutograd, "CompositeImplicitAutograd"),
)

Site = tuple[str, int, str]
"""File, line and function; ("", 0, "") if the call does not come from Python."""


class Recorder:
    """Counts the operator calls inside ``with recorder:``; ``trace`` returns them."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[tuple[str, ...], Site, str, bool]] = Counter()
        self.path: tuple[str, ...] = ()
        self._functions = _Functions(self)
        self._operators = _Operators(self)
        self._depth = 0

    def __enter__(self) -> Recorder:
        """Start recording; may be nested."""
        if self._depth == 0:
            self._functions.__enter__()
            self._operators.__enter__()
        self._depth += 1
        return self

    def __exit__(self, *failure: Any) -> None:
        """Stop recording."""
        self._depth -= 1
        if self._depth == 0:
            self._operators.__exit__(*failure)
            self._functions.__exit__(*failure)

    def trace(self) -> list[dict[str, Any]]:
        """Return one entry per distinct call, with its ``count``.

        ``path`` is the operator and those around it, outermost first. ``file``, ``line`` and
        ``function`` are the caller. ``node`` is the autograd formula that made the call, "" in a
        forward pass. ``wide`` is true if the result was float64 or complex128.
        """
        return [
            {
                "path": list(path),
                "file": file,
                "line": line,
                "function": function,
                "node": node,
                "wide": wide,
                "count": count,
            }
            for (path, (file, line, function), node, wide), count in self.calls.items()
        ]


class _Operators(TorchDispatchMode):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.name().removeprefix("aten::")
        recorder, outer = self.recorder, self.recorder.path
        site, node = _site()
        recorder.path = (*outer, name)
        try:
            key = None if name in outer else _composite(func)
            args = _tensors(func, args)
            if key is None:
                result = func(*args, **kwargs)
            else:
                with self:
                    result = func._op_dk(key, *args, **kwargs)
        finally:
            recorder.path = outer
        if site is not None:
            recorder.calls[(*outer, name), site, node, _wide(result)] += 1
        return result


class _Functions(TorchFunctionMode):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        recorder, outer = self.recorder, self.recorder.path
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        whole = "" if outer else _composite_overloads(name, kwargs.get("out") is not None)
        if whole:
            # Torch chooses among these overloads later, unseen; the reader evaluates them together.
            recorder.path = (whole,)
        try:
            result = func(*args, **kwargs)
        finally:
            recorder.path = outer
        if not outer:
            if whole:
                site, node = _site()
                if site is not None:
                    recorder.calls[(whole,), site, node, _wide(result)] += 1
            _remember(result)
        return result


_composites: dict[str, Any] = {}


def _composite(func: Any) -> Any:
    """Return the dispatch key of the kernel that composes ``func`` of other operators, or None."""
    name = func.name()
    if name not in _composites:
        has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
        composite = None
        # An operator with its own CPU kernel and a generated composite uses its .out variant, which
        # the reader knows; running the composite here would only record the same again.
        for key, key_name in _COMPOSITES:
            explicit = key_name == "CompositeExplicitAutograd"
            if has_kernel(name, key_name) and (explicit or not has_kernel(name, "CPU")):
                composite = key
                break
        _composites[name] = composite
    return _composites[name]


_tensor_places: dict[Any, tuple[int, ...]] = {}


def _tensors(func: Any, args: Any) -> Any:
    """Return ``args`` with tensors for the plain numbers that stand in for tensors.

    A Python number beside a tensor is dispatched as a wrapped tensor. The mode is given the number,
    which most operators do not accept in its place. A zero-dimensional tensor of the default dtype
    promotes in the same way.
    """
    places = _tensor_places.get(func)
    if places is None:
        kinds = [str(argument.type) for argument in func._schema.arguments]
        places = tuple(i for i, kind in enumerate(kinds) if kind in ("Tensor", "Optional[Tensor]"))
        _tensor_places[func] = places
    numbers = [i for i in places if i < len(args) and isinstance(args[i], (int, float, complex))]
    if not numbers:
        return args
    converted = list(args)
    for place in numbers:
        converted[place] = torch.tensor(args[place])
    return tuple(converted)


_overloads_by_name: dict[tuple[str, bool], str] = {}


def _composite_overloads(name: str, out: bool) -> str:
    """Return the overloads of an aten operator that are decomposed above autograd, joined by "|".

    ``out`` tells whether the call has an ``out=`` argument, which limits the overloads.
    """
    if (name, out) not in _overloads_by_name:
        packet = getattr(torch.ops.aten, name, None) if name.isidentifier() else None
        # A name like __eq__ returns a Python method there instead.
        overloads = packet.overloads() if isinstance(packet, OpOverloadPacket) else []
        names = [
            f"aten::{name}" if overload == "default" else f"aten::{name}.{overload}"
            for overload in overloads
        ]
        has_kernel_for = torch._C._dispatch_has_kernel_for_dispatch_key
        _overloads_by_name[name, out] = "|".join(
            overload.removeprefix("aten::")
            for overload in names
            if overload.endswith("out") == out
            and torch._C._dispatch_has_kernel(overload)
            and has_kernel_for(overload, "CompositeImplicitAutograd")
        )
    return _overloads_by_name[name, out]


def _wide(result: Any) -> bool:
    parts = result if isinstance(result, (list, tuple)) else (result,)
    return any(isinstance(part, torch.Tensor) and part.dtype in _WIDE for part in parts)


def _site() -> tuple[Site | None, str]:
    """Return the caller and the autograd formula of the current call.

    The site is None if the call belongs to data loading, which stays on the CPU on a Mac too.
    """
    node: Any = torch._C._current_autograd_node()
    if node is not None:
        known = node.metadata.get("metalassay")
        return (known or _frame() or ("", 0, "")), node.name()
    return _frame(), ""


def _frame() -> Site | None:
    """Return the innermost frame in the user's code, or else the innermost one outside torch."""
    frame: FrameType | None = sys._getframe(2)
    library: Site | None = None
    while frame is not None:
        code = frame.f_code
        file = code.co_filename
        if file.startswith(_DATA):
            return None
        if not file.startswith((_TORCH, _OURS, "<")):
            site = (file, frame.f_lineno, code.co_name)
            if not file.startswith(_LIBRARIES):
                return site
            library = library or site
        frame = frame.f_back
    return library or ("", 0, "")


def _remember(result: Any) -> None:
    """Store on the autograd nodes of a result where it was computed, for the backward pass."""
    if not torch.is_grad_enabled():
        return
    nodes: list[Any] = []
    for part in result if isinstance(result, (list, tuple)) else (result,):
        # Reading grad_fn of a view created without grad may raise, and the program never reads it.
        with contextlib.suppress(RuntimeError):
            node: Any = part.grad_fn if isinstance(part, torch.Tensor) else None
            if node is not None and "metalassay" not in node.metadata:
                nodes.append(node)
    if not nodes or (site := _frame()) is None:
        return
    while nodes:
        node = nodes.pop()
        node.metadata["metalassay"] = site
        nodes += [
            inner
            for inner, _ in node.next_functions
            if "metalassay" not in getattr(inner, "metadata", ("metalassay",))
        ]
