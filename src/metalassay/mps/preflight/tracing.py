"""Records the operators that a program asks for. Runs beside the user's torch; needs nothing of ours.

A dispatch mode alone sees too little of what a Mac would meet:

- An operator that is made of others (a composite with an autograd formula of its own) is one call
  to it. The recorder runs the composite itself, with the mode on, and so sees what it is made of.
- One without such a formula is taken apart before the mode is asked. A function mode, which stands
  in front, notes its name; the calls it makes are recorded below it.

Every call is kept with the operators it is part of, the outermost first, so that the reader can stop
at the first that a torch version has a kernel for.
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
    # Seen here only inside other composites, where autograd has already been passed.
    (DispatchKey.CompositeImplicitAutograd, "CompositeImplicitAutograd"),
)

Site = tuple[str, int, str]
"""File, line and function; ("", 0, "") where no Python called."""


class Recorder:
    """Counts operator calls inside ``with recorder:``; see ``trace`` for what it holds."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[tuple[str, ...], Site, str, bool]] = Counter()
        self.path: tuple[str, ...] = ()
        self._functions = _Functions(self)
        self._operators = _Operators(self)
        self._depth = 0

    def __enter__(self) -> Recorder:
        """Record from here; may be entered again inside itself."""
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
        """Return the calls: ``path`` (outermost operator first), site, ``node``, ``wide``, ``count``.

        ``node`` names the autograd formula that called, "" in a forward pass. ``wide`` says that the
        result was float64 or complex128.
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
        whole = "" if outer else _taken_apart(name, kwargs.get("out") is not None)
        if whole:
            # Which of them is chosen behind this door; the reader takes them together.
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
    """Return the key of the kernel that makes ``func`` of other operators, if it has one."""
    name = func.name()
    if name not in _composites:
        has = torch._C._dispatch_has_kernel_for_dispatch_key
        found = None
        # One with a CPU kernel of its own and a generated variant asks for its .out, which the
        # reader knows; running the variant here would only say the same once more.
        for key, word in _COMPOSITES:
            if has(name, word) and (word == "CompositeExplicitAutograd" or not has(name, "CPU")):
                found = key
                break
        _composites[name] = found
    return _composites[name]


_tensor_places: dict[Any, tuple[int, ...]] = {}


def _tensors(func: Any, args: Any) -> Any:
    """Put back the tensors that the mode was shown as plain numbers.

    A number beside a tensor arrives as a tensor that says it is one; the mode sees the number, which
    most operators do not take in its place. Zero dimensions and the default dtype promote alike.
    """
    places = _tensor_places.get(func)
    if places is None:
        kinds = [str(argument.type) for argument in func._schema.arguments]
        places = tuple(i for i, kind in enumerate(kinds) if kind in ("Tensor", "Optional[Tensor]"))
        _tensor_places[func] = places
    numbers = [i for i in places if i < len(args) and isinstance(args[i], (int, float, complex))]
    if not numbers:
        return args
    whole = list(args)
    for place in numbers:
        whole[place] = torch.tensor(args[place])
    return tuple(whole)


_apart: dict[tuple[str, bool], str] = {}


def _taken_apart(name: str, out: bool) -> str:
    """Return the overloads of an aten operator that only autograd sees as a whole, joined by "|".

    ``out`` says whether the call has a tensor to write to, which chooses among the overloads.
    """
    if (name, out) not in _apart:
        packet = getattr(torch.ops.aten, name, None) if name.isidentifier() else None
        # A name like __eq__ finds a method of Python's there instead.
        overloads = packet.overloads() if isinstance(packet, OpOverloadPacket) else []
        names = [f"aten::{name}" + (f".{o}" if o != "default" else "") for o in overloads]
        has, known = torch._C._dispatch_has_kernel_for_dispatch_key, torch._C._dispatch_has_kernel
        _apart[name, out] = "|".join(
            each.removeprefix("aten::")
            for each in names
            if each.endswith("out") == out
            and known(each)
            and has(each, "CompositeImplicitAutograd")
        )
    return _apart[name, out]


def _wide(result: Any) -> bool:
    parts = result if isinstance(result, (list, tuple)) else (result,)
    return any(isinstance(part, torch.Tensor) and part.dtype in _WIDE for part in parts)


def _site() -> tuple[Site | None, str]:
    """Return where the call comes from, and the autograd formula that makes it.

    None for the site: the call belongs to loading data, which stays on the CPU on a Mac too.
    """
    node: Any = torch._C._current_autograd_node()
    if node is not None:
        known = node.metadata.get("metalassay")
        return (known or _frame() or ("", 0, "")), node.name()
    return _frame(), ""


def _frame() -> Site | None:
    """Return the innermost frame of the user's own; else the innermost outside torch."""
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
    """Note on the autograd nodes behind a result where it was computed, for the way back."""
    if not torch.is_grad_enabled():
        return
    nodes: list[Any] = []
    for part in result if isinstance(result, (list, tuple)) else (result,):
        # Asking a view that was made without grad for its node may raise; the program never asks.
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
