"""Switches the emulation on and off. Imports torch, and nothing of it before it is asked to."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from metalassay.errors import UserError
from metalassay.mps.emulator import build
from metalassay.mps.emulator.messages import VARIABLE, fallback_enabled, messages
from metalassay.mps.operators import oracle

# A Mac reads the variable while torch is imported, once. This module is imported before torch or, by
# a program that imports torch first, about then; what is set later does nothing, as on a Mac.
_AT_IMPORT = os.environ.get(VARIABLE)

_WATERMARKS = ("PYTORCH_MPS_HIGH_WATERMARK_RATIO", "PYTORCH_MPS_LOW_WATERMARK_RATIO")

GIB = 1024**3
# What Metal recommends on a Mac with 16 GB; the default limit of 1.7 times this is 18.13 GB.
MEMORY = 16 * GIB * 2 // 3


@dataclass(frozen=True)
class Emulation:
    """What is emulated: the ``torch`` release whose operators are, and how."""

    torch: str
    installed: str
    fallback: bool
    memory: int
    dead: bool

    def __str__(self) -> str:
        """Say it in one line, for banners and reports."""
        other = "" if self.torch == self.installed.partition("+")[0] else ", not the one that runs"
        notes = [f"the operators of torch {self.torch}{other}"]
        notes += [f"with {VARIABLE}"] if self.fallback else []
        notes += ["offered but dead"] if self.dead else []
        return (
            f"mps is emulated on the CPU ({', '.join(notes)}): dispatch and API are a Mac's,"
            " numbers and speed are not"
        )


_lock = threading.Lock()
_current: list[Emulation] = []


def current() -> Emulation | None:
    """Return what is being emulated, None for nothing."""
    return _current[-1] if _current else None


@contextlib.contextmanager
def emulate_mps(
    torch: str | None = None,
    *,
    fallback: bool | None = None,
    memory: int | None = None,
    dead: bool = False,
    quiet: bool = False,
) -> Iterator[Emulation]:
    """Give this process a device ``mps`` inside the ``with``; see docs/emulator.md.

    ``torch`` names the release whose operators have kernels (default: the installed one). ``fallback``
    stands for ``PYTORCH_ENABLE_MPS_FALLBACK`` (default: the variable, as it was when this package was
    imported). ``memory`` are the bytes that Metal would recommend to stay below (default: those of a
    Mac with 16 GB); allocations fail above 1.7 times that. ``dead`` offers a device on which no
    allocation works, as some hosted runners do.

    Tensors that outlive the ``with`` can be deleted and nothing else. Raises ``UserError`` where it
    cannot work: a Mac, a CUDA build of torch, no compiler, an unknown release, another emulation.
    """
    with contextlib.ExitStack() as stack:
        yield start(stack, torch, fallback=fallback, memory=memory, dead=dead, quiet=quiet)


def start(
    stack: contextlib.ExitStack,
    version: str | None = None,
    *,
    fallback: bool | None = None,
    memory: int | None = None,
    dead: bool = False,
    quiet: bool = False,
) -> Emulation:
    """Switch the emulation on, and off when ``stack`` is closed; the arguments of ``emulate_mps``."""
    try:
        import torch as real
    except ModuleNotFoundError as error:
        raise UserError(f"mps cannot be emulated without torch: {error}", build.EXTRA) from None

    build.check_torch(real)
    operators = oracle.load(version or real.__version__)
    if fallback is None:
        fallback = fallback_enabled(_AT_IMPORT, operators.torch)
    emulation = Emulation(operators.torch, str(real.__version__), fallback, memory or MEMORY, dead)
    with _lock:
        if _current:
            raise UserError(
                "mps is emulated already, and one process has one",
                "leave the other emulate_mps() first, or start a process",
            )
        native = build.load(_say)
        _install(native, emulation, operators)
        _current.append(emulation)
    stack.callback(_stop, native)
    from metalassay.mps.emulator.shims import shims

    stack.enter_context(shims())
    _wake_autograd(native, stack)
    if not quiet:
        _say(str(emulation))
    return emulation


def _install(native: Any, emulation: Emulation, operators: oracle.Operators) -> None:
    texts = messages(emulation.torch, operators.git)
    settings = native.Settings()
    settings.fallback = emulation.fallback
    settings.not_implemented = texts.not_implemented
    settings.not_implemented_distributed = texts.not_implemented_distributed
    settings.falls_back = texts.falls_back
    settings.pool = texts.pool
    settings.recommended_memory = emulation.memory
    settings.dead = emulation.dead
    kernels, missing = _for_this_torch(emulation, operators)
    native.install(sorted(kernels), sorted(operators.fallbacks), sorted(missing), settings)


def _for_this_torch(
    emulation: Emulation, operators: oracle.Operators
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the kernels to register, and the operators to refuse although they are composites here.

    Only what differs between the emulated release and the one that runs needs care: an operator
    that has become a composite must stay one, or it would lose its autograd formula.
    """
    try:
        here = oracle.load(emulation.installed)
    except UserError:  # newer than the data
        return operators.kernels, frozenset()
    if here.torch == operators.torch:
        return operators.kernels, frozenset()
    refused = frozenset() if emulation.fallback else operators.cpu_only & here.composites
    return operators.kernels - here.composites, refused


def _wake_autograd(native: Any, stack: contextlib.ExitStack) -> None:
    """Let backward passes reach the device also where one has run before.

    The engine counts devices at its first backward pass, once. If that is over, the passes of this
    thread run in this thread, as they do for the CPU. The watermarks are hidden meanwhile: they are
    read at the first tensor, and that is to be the program's.
    """
    import torch

    emulation = current()
    if emulation is None or emulation.dead:
        return
    hidden = {name: os.environ.pop(name) for name in _WATERMARKS if name in os.environ}
    try:
        leaf = torch.ones(1, device="mps", requires_grad=True)
        torch.autograd.backward([leaf.clone()], [torch.ones(1, device="mps")])
    except RuntimeError as error:
        if "device_ready_queues_" not in str(error):
            raise
        stack.enter_context(torch.autograd.set_multithreading_enabled(False))
    finally:
        os.environ.update(hidden)
    del leaf
    native.reset_memory_limits()


def _stop(native: Any) -> None:
    with _lock:
        _current.clear()
        native.uninstall()


def _say(text: str) -> None:
    print(f"metalassay: {text}", file=sys.stderr, flush=True)  # noqa: T201  (the banner)
