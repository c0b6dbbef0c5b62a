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
import threading
import weakref
from collections.abc import Iterable, Iterator
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
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120
_WIDE = (torch.float64, torch.complex128)
_DEVICE, _NAMED, _HOST = range(3)
"""Where a tensor would be on a Mac: on the device for all we know; on the CPU by name, which is a variable's value in
a program that asks which device there is; on the CPU in any case."""
_COMPOSITES = (
    (DispatchKey.CompositeExplicitAutograd, "CompositeExplicitAutograd"),
    (DispatchKey.CompositeExplicitAutogradNonFunctional, "CompositeExplicitAutogradNonFunctional"),
    # Reached only inside other composites, below autograd.
    (DispatchKey.CompositeImplicitAutograd, "CompositeImplicitAutograd"),
)

Site = tuple[str, int, str]
"""File, line and function; ("", 0, "") if the call does not come from Python."""
_NOWHERE: Site = ("", 0, "")
_UNKNOWN: Site = ("?", 0, "")  # compared by identity
Mark = tuple[str, str]
"""The dtype and the limit of a call that some kernel refuses, as in beyond.py."""
_NO_MARK: Mark = ("", "")
Key = tuple[str, tuple[str, ...], Site, str, bool, Mark]
"""The operator, those around it, the caller, the autograd formula, whether a result is float64, and the mark."""


class Recorder:
    """Counts the operator calls inside ``with recorder:``, also those of threads started in it.

    ``kernels`` are operators that have a kernel wherever the trace is evaluated, and ``composites``
    those that are made of others everywhere. Where the parts cannot matter, an operator is run whole,
    which costs less. ``watch`` (of beyond.py) marks calls that some kernel refuses.
    """

    def __init__(
        self, kernels: Iterable[str] = (), composites: Iterable[str] = (), watch: Any = None
    ) -> None:
        self.kernels, self.composites = frozenset(kernels), frozenset(composites)
        self.watch = watch
        self.replaced = 0  # calls that named mps and got the CPU
        self.threads = 0
        self.path: tuple[str, ...] = ()
        self.in_function = False
        self.site: Site | None = _UNKNOWN  # the caller of the function of torch that is running
        self.operators: dict[int, tuple[str, Any, tuple[int, ...], bool, Any, Any, Any]] = {}
        self.calls: dict[Key, list[int]] = {}  # in lists of one: a key is long to hash twice
        self.named: dict[Key, list[int]] = {}  # calls with all tensors on the CPU by name
        self.copied: dict[Key, int] = {}
        self.place = _DEVICE  # of the function of torch that is running
        self.places = _Places()
        self._marks: dict[str, Any] = {}
        self._others: list[Recorder] = []
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

    def loading(self) -> bool:
        """Return whether a DataLoader is at work here, of which nothing is recorded."""
        return _frame() is None

    def forget(self) -> None:
        """Drop what has been recorded, in a forked process."""
        self.calls.clear()
        self.named.clear()
        self.copied.clear()
        self._others.clear()
        self.replaced = 0

    def describe(self, func: Any) -> tuple[str, Any, tuple[int, ...], bool, Any, Any, Any]:
        """Return an operator's name, composite kernel and tensors, whether to run it whole, how, its mark, and it."""
        name = func.name().removeprefix("aten::")
        kinds = [str(argument.type) for argument in func._schema.arguments]
        places = tuple(i for i, kind in enumerate(kinds) if kind in ("Tensor", "Optional[Tensor]"))
        # A view computes nothing; the overload for a number is made of the one for a tensor.
        whole = name in self.kernels or (
            name in self.composites
            and (func.is_view or name.replace(".Scalar", ".Tensor") in self.kernels)
        )
        run = getattr(func, "_op", func)
        # The operator itself is kept too, so that no other object takes its id.
        known = (name, _composite(func), places, whole, run, self.marks(name), func)
        self.operators[id(func)] = known
        return known

    def marks(self, name: str) -> Any:
        """Return the function that marks a call of an operator, or None."""
        if name not in self._marks:
            self._marks[name] = None if self.watch is None else self.watch.of(name)
        return self._marks[name]

    @contextlib.contextmanager
    def following_threads(self) -> Iterator[None]:
        """Record the threads that are started inside the block as well, until they end."""
        thread: Any = threading.Thread
        begin = thread.start

        def start(this: threading.Thread) -> None:
            """Wrap what the thread runs, which a subclass may have defined itself."""
            run = this.run

            def recorded() -> None:
                other = Recorder(self.kernels, self.composites, self.watch)
                self._others.append(other)
                with other:
                    run()

            this.run = recorded  # type: ignore[method-assign]
            begin(this)

        thread.start = start
        try:
            yield
        finally:
            thread.start = begin

    def trace(self) -> list[dict[str, Any]]:
        """Return one entry per distinct call, with its ``count``.

        ``path`` is the operator and those around it, outermost first. ``file``, ``line`` and
        ``function`` are the caller. ``dtype`` and ``limit`` are those of a call that some kernel refuses. ``node`` is the autograd formula that made the call, "" in a
        forward pass. Calls on the CPU by name are left out if the program also names mps: one that does not
        may have asked for the device, and been told of none. ``wide`` is true if the result was float64 or complex128. ``bytes`` is the size
        of the tensors that the first such call took and returned; 0 where it was not measured.
        """
        calls: dict[Key, int] = {}
        copied = dict(self.copied)
        self.threads = 0
        names_mps = any(recorder.replaced for recorder in (self, *self._others))
        for recorder in (self, *self._others):
            recorded = list(recorder.calls.items())  # a thread may still be running
            if not names_mps:
                recorded += list(recorder.named.items())
            self.threads += recorder is not self and bool(recorded)
            self.replaced += recorder.replaced if recorder is not self else 0
            for key, (count,) in recorded:
                calls[key] = calls.get(key, 0) + count
            copied = {**recorder.copied, **copied}
        return [
            {
                "path": [*outer, name],
                "file": os.path.abspath(file) if file else "",  # noqa: PTH100
                "line": line,
                "function": function,
                "node": node,
                "wide": wide,
                "dtype": mark[0],
                "limit": mark[1],
                "count": count,
                "bytes": copied.get((name, outer, (file, line, function), node, wide, mark), 0),
            }
            for (name, outer, (file, line, function), node, wide, mark), count in calls.items()
        ]


class _Operators(TorchDispatchMode):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder


def _dispatch(self: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    recorder = self.recorder
    if recorder.place == _HOST:
        return func(*args, **(kwargs or {}))
    known = recorder.operators.get(id(func))  # the hash of an operator is a function in Python
    name, key, places, leaf, run, marks, _ = known or recorder.describe(func)
    outer = recorder.path
    mark = marks(args, kwargs) if marks else _NO_MARK
    if leaf:
        result = run(*args, **kwargs) if kwargs else run(*args)
    else:
        recorder.path = (*outer, name)
        if places:
            args = _tensors(places, args)
        try:
            if key is None or name in outer:
                result = run(*args, **kwargs) if kwargs else run(*args)
            else:
                with self:
                    result = func._op_dk(key, *args, **(kwargs or {}))
        finally:
            recorder.path = outer
    node: Any = torch._C._current_autograd_node()
    site: Site | None
    if node is None:
        formula, site = "", recorder.site
        if site is _UNKNOWN:
            site = _frame()
            if recorder.in_function:
                recorder.site = site
    else:
        site = node.metadata.get("metalassay") or _frame() or _NOWHERE
        formula = node.name()
    if site is not None:
        wide = result.dtype in _WIDE if isinstance(result, torch.Tensor) else _wide(result)
        call = (name, outer, site, formula, wide, mark)
        calls = recorder.calls if recorder.place == _DEVICE else recorder.named
        count = calls.get(call)
        if count is None:
            calls[call] = [1]
            if not leaf:
                recorder.copied[call] = _bytes(args, kwargs, result)
        else:
            count[0] += 1
    return result


# Set afterwards: as part of the class it would be wrapped by a function of torch.compile, at every call.
_Operators.__torch_dispatch__ = _dispatch  # type: ignore[method-assign]


class _Functions(TorchFunctionMode):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        recorder = self.recorder
        known = _functions.get(func)
        if known is None:
            known = _functions[func] = _know(func)
        kind, whole, whole_out = known
        if kind == _ATTRIBUTE:  # .shape, .device, .T and others
            result = func(*args)
            if isinstance(result, torch.Tensor):
                if recorder.places.known and (place := recorder.places.of(args[0])):
                    recorder.places.put(result, place)
                if torch.is_grad_enabled():
                    _remember(result, recorder)
            return result
        given, named = (args, kwargs), False
        if kind == _MOVE or (kwargs and "device" in kwargs):
            args, kwargs = self._on_the_cpu(args, kwargs or {})
            named = any(
                isinstance(value, (str, torch.device)) for value in (*args, *kwargs.values())
            )
        if recorder.in_function or recorder.path:
            return func(*args, **kwargs) if kwargs else func(*args)
        place = _DEVICE
        if kind == _TO_CPU:
            place = _HOST
        elif named:
            values = (*given[0], *(given[1] or {}).values())
            place = _NAMED if any(_is_on(value, "cpu") for value in values) else _DEVICE
        elif recorder.places.known:
            place = recorder.places.of_call(args, kwargs)
        if kwargs and kwargs.get("out") is not None:
            whole = whole_out
        # A backward pass runs code of the user: hooks, own formulas.
        recorder.in_function = kind != _BACKWARD
        if whole:
            # Torch chooses among these overloads later, unseen; the reader evaluates them together.
            recorder.path = (whole,)
        before, recorder.place = recorder.place, place
        try:
            result = func(*args, **kwargs) if kwargs else func(*args)
            recorder.path = ()
            if place != _HOST:
                if whole and result is not None:
                    self._note(whole, args, kwargs, result)
                if torch.is_grad_enabled():
                    _remember(result, recorder)
            if place or recorder.places.known:
                return self._placed(result, args, kind, place)
            return result
        finally:
            recorder.path = ()
            recorder.in_function, recorder.site, recorder.place = False, _UNKNOWN, before

    def _placed(self, result: Any, args: Any, kind: int, place: int) -> Any:
        """Note where a result would be on a Mac, and return it."""
        places = self.recorder.places
        moves = kind in (_MOVE, _TO_CPU)
        if moves and args and result is args[0] and places.of(result) != place:
            # A Mac would make a copy: the one on the CPU is another tensor here too.
            certain = place == _HOST or (place == _NAMED and self.recorder.replaced)
            if not certain or type(result) not in (torch.Tensor, torch.nn.Parameter):
                places.put(result, _DEVICE)
                return result
            with torch._C._DisableTorchDispatch():
                graph = torch.is_grad_enabled() and result.requires_grad
                # Not an alias: changing one of a leaf in place is an error, and changing a copy is none.
                result = result.clone() if graph else result.detach()
        if place:
            for part in result if isinstance(result, (list, tuple)) else (result,):
                if isinstance(part, torch.Tensor):
                    places.put(part, place)
        return result

    def _note(self, whole: str, args: Any, kwargs: Any, result: Any) -> None:
        """Count an operator that torch decomposes before the other mode."""
        recorder = self.recorder
        site, node = _site(recorder)
        if site is None:
            return
        marks = recorder.marks(whole)
        mark = (marks(args, kwargs)[0], "") if marks else _NO_MARK
        key = (whole, (), site, node, _wide(result), mark)
        calls = recorder.calls if recorder.place == _DEVICE else recorder.named
        count = calls.get(key)
        if count is None:
            calls[key] = [1]
            recorder.copied[key] = _bytes(args, kwargs, result)
        else:
            count[0] += 1

    def _on_the_cpu(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Return the arguments with the CPU where they name mps, which is not here."""
        before = [*args, *kwargs.values()]
        if not any(_is_on(value, "mps") for value in before):
            return args, kwargs
        self.recorder.replaced += 1
        return (
            tuple("cpu" if _is_on(value, "mps") else value for value in args),
            {name: "cpu" if _is_on(value, "mps") else value for name, value in kwargs.items()},
        )


_PLAIN, _ATTRIBUTE, _MOVE, _TO_CPU, _BACKWARD = range(5)
_functions: dict[Any, tuple[int, str, str]] = {}


def _know(func: Any) -> tuple[int, str, str]:
    """Return the kind of a function of torch, and its composite overloads without and with out=."""
    name = getattr(func, "__name__", "")
    kinds = {"__get__": _ATTRIBUTE, "to": _MOVE, "cpu": _TO_CPU, "backward": _BACKWARD}
    kind = kinds.get(name, _PLAIN)
    return kind, _composite_overloads(name, False), _composite_overloads(name, True)


def _is_on(value: Any, device: str) -> bool:
    if isinstance(value, str):
        return value == device or value.startswith(device + ":")
    return isinstance(value, torch.device) and value.type == device


class _Places:
    """Where tensors would be on a Mac, by their id, for those that would not be on the device."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[int, weakref.ref[torch.Tensor]]] = {}

    def of(self, tensor: torch.Tensor) -> int:
        """Return where a tensor would be."""
        found = self.known.get(id(tensor))
        return found[0] if found else _DEVICE

    def put(self, tensor: torch.Tensor, place: int) -> None:
        """Note where a tensor would be, until it is gone."""
        known, key = self.known, id(tensor)
        if place == _DEVICE:
            known.pop(key, None)
        else:
            known[key] = (place, weakref.ref(tensor, lambda _: known.pop(key, None)))

    def of_call(self, args: Any, kwargs: Any) -> int:
        """Return where a call would run: not on the device only if no tensor is there."""
        known = self.known
        found = []
        for value in (*args, *kwargs.values()) if kwargs else args:
            for part in value if isinstance(value, (list, tuple)) else (value,):
                place = known.get(id(part))
                if place:
                    found.append(place[0])
                elif isinstance(part, torch.Tensor):
                    return _DEVICE
        return min(found, default=_DEVICE)


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


def _tensors(places: tuple[int, ...], args: Any) -> Any:
    """Return ``args`` with tensors for the plain numbers that stand in for tensors.

    A Python number beside a tensor is dispatched as a wrapped tensor. The mode is given the number,
    which most operators do not accept in its place. A zero-dimensional tensor of the default dtype
    promotes in the same way.
    """
    given = len(args)
    for place in places:
        if place < given and isinstance(args[place], (int, float, complex)):
            converted = list(args)
            for each in places:
                if each < given and isinstance(args[each], (int, float, complex)):
                    converted[each] = torch.tensor(args[each])
            return tuple(converted)
    return args


def _composite_overloads(name: str, out: bool) -> str:
    """Return the overloads of an aten operator that are decomposed above autograd, joined by "|".

    ``out`` tells whether the call has an ``out=`` argument, which limits the overloads.
    """
    packet = getattr(torch.ops.aten, name, None) if name.isidentifier() else None
    # A name like __eq__ returns a Python method there instead.
    overloads = packet.overloads() if isinstance(packet, OpOverloadPacket) else []
    names = [
        f"aten::{name}" if overload == "default" else f"aten::{name}.{overload}"
        for overload in overloads
    ]
    has_kernel_for = torch._C._dispatch_has_kernel_for_dispatch_key
    return "|".join(
        overload.removeprefix("aten::")
        for overload in names
        if overload.endswith("out") == out
        and torch._C._dispatch_has_kernel(overload)
        and has_kernel_for(overload, "CompositeImplicitAutograd")
    )


def _wide(result: Any) -> bool:
    if isinstance(result, torch.Tensor):
        return result.dtype in _WIDE
    parts = result if isinstance(result, (list, tuple)) else ()
    return any(isinstance(part, torch.Tensor) and part.dtype in _WIDE for part in parts)


def _bytes(args: Any, kwargs: Any, result: Any) -> int:
    """Return the size of the tensors that a call takes and returns, as a fallback would copy them."""
    size = 0
    waiting = [*args, *(kwargs or {}).values(), result]
    while waiting:
        part = waiting.pop()
        if isinstance(part, torch.Tensor):
            if part.layout == torch.strided:
                size += part.numel() * part.element_size()
        elif isinstance(part, (list, tuple)):
            waiting += part
    return size


def _site(recorder: Recorder) -> tuple[Site | None, str]:
    """Return the caller and the autograd formula of the current call.

    The site is None if the call is not to be counted, as in ``_frame``.
    """
    node: Any = torch._C._current_autograd_node()
    if node is not None:
        known = node.metadata.get("metalassay")
        return (known or _frame() or _NOWHERE), node.name()
    return (_frame() if recorder.site is _UNKNOWN else recorder.site), ""


_SKIPPED, _LIBRARY, _USER, _LOADING = range(4)
_skipped = [_TORCH, _OURS, "<"]
_kinds: dict[str, int] = {}  # by file: the hash of a string is kept, that of a code object is not


def skip(folder: str) -> None:
    """Let no line of the files in ``folder`` count as a caller: they run the user's code, and are none."""
    _skipped.append(folder + os.sep)


def _kind(file: str) -> int:
    if file.startswith(_DATA):
        kind = _LOADING
    elif file.startswith(tuple(_skipped)):
        kind = _SKIPPED
    elif file.startswith(_LIBRARIES) or _PACKAGES[0] in file or _PACKAGES[1] in file:
        kind = _LIBRARY  # also one of another environment, which a .pth file has added
    else:
        kind = _USER
    _kinds[file] = kind
    return kind


def _frame() -> Site | None:
    """Return the innermost frame in the user's code, or else the innermost one outside torch.

    None in data loading, and while a library that is being imported computes its constants: both stay
    on the CPU on a Mac too.
    """
    frame: FrameType | None = sys._getframe(1)
    library: FrameType | None = None
    importing = False
    known = _kinds.get
    while frame is not None:
        file = frame.f_code.co_filename
        kind = known(file)
        if kind is None:
            kind = _kind(file)
        if kind == _USER:
            if importing:
                return None
            library = frame
            break
        if kind == _LOADING:
            return None
        if kind == _LIBRARY:
            importing = importing or frame.f_code.co_name == "<module>"
            library = library or frame
        frame = frame.f_back
    if library is None:
        return _NOWHERE
    return (library.f_code.co_filename, library.f_lineno, library.f_code.co_name)


def _remember(result: Any, recorder: Recorder) -> None:
    """Store on the autograd nodes of a result where it was computed, for the backward pass.

    Called while gradients are enabled.
    """
    if isinstance(result, torch.Tensor):
        parts: Any = (result,)
    elif isinstance(result, (list, tuple)):
        parts = result
    else:
        return
    nodes: list[Any] = []
    for part in parts:
        try:
            node: Any = part.grad_fn if isinstance(part, torch.Tensor) else None
        except RuntimeError:
            continue  # of a view created without grad, and the program never reads it
        if node is not None and "metalassay" not in node.metadata:
            nodes.append(node)
    if not nodes:
        return
    site = _frame() if recorder.site is _UNKNOWN else recorder.site
    if site is None:
        return
    while nodes:
        node = nodes.pop()
        node.metadata["metalassay"] = site
        for inner, _ in node.next_functions:
            if "metalassay" not in getattr(inner, "metadata", _MARKED):
                nodes.append(inner)


_MARKED = ("metalassay",)  # what a missing node counts as
