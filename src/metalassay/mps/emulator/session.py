"""Switch the emulation on and off. torch is imported only when the emulation starts."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from metalassay.errors import UserError
from metalassay.mps.emulator import build, differences, inherited
from metalassay.mps.emulator.messages import VARIABLE, fallback_enabled, messages
from metalassay.mps.operators import limits, oracle

# On a Mac, torch reads the variable once, when it is imported. This module is imported at about the
# same time; setting the variable later has no effect, as on a Mac.
_AT_IMPORT = os.environ.get(VARIABLE)

GIB = 1024**3
# Metal's recommendation on a Mac with 16 GB; the default limit is 1.7 times this, 18.13 GB.
RECOMMENDED_MEMORY = 16 * GIB * 2 // 3


@dataclass(frozen=True)
class Emulation:
    """What is emulated: the release whose operators are used (``torch``), and the options.

    ``installed`` is the version of the installed torch; ``memory`` is in bytes. ``signposts`` has what the
    program asked of ``torch.mps.profiler`` so far: "start interval,event", "stop".
    """

    torch: str
    installed: str
    fallback: bool
    memory: int
    dead: bool
    signposts: list[str] = field(default_factory=list, compare=False)

    def __str__(self) -> str:
        """Return one line for banners and reports."""
        other = "" if self.torch == self.installed.partition("+")[0] else ", not the installed one"
        notes = [f"the operators of torch {self.torch}{other}"]
        notes += [f"with {VARIABLE}"] if self.fallback else []
        notes += ["available but dead"] if self.dead else []
        return (
            f"mps is emulated on the CPU ({', '.join(notes)}): dispatch and API are those of a Mac,"
            " numbers and speed are not"
        )


_lock = threading.Lock()
_current: list[Emulation] = []
_inherited: list[contextlib.ExitStack] = []  # at most one


def current() -> Emulation | None:
    """Return the running emulation, or None."""
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
    """Give this process an ``mps`` device inside the ``with`` block; see docs/emulator.md.

    ``torch`` is the release whose operators are emulated (default: the installed one). ``fallback``
    replaces ``PYTORCH_ENABLE_MPS_FALLBACK`` (default: its value when this package was imported).
    ``memory`` is Metal's recommended maximum in bytes (default: that of a Mac with 16 GB);
    allocations fail above 1.7 times that. With ``dead`` the device is available but no allocation
    works, as on some hosted runners. ``quiet`` suppresses the banner on stderr.

    Tensors that outlive the block can only be deleted. Raises ``UserError`` if mps cannot be emulated:
    on a Mac, with a CUDA build of torch, without a compiler, for an unknown release, or twice at once.
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
    record: bool = False,
) -> Emulation:
    """Switch the emulation on, and off when ``stack`` closes; the options are those of ``emulate_mps``.

    With ``record``, the compiled module notes which kernels are called with which dtypes.
    """
    try:
        import torch as real
    except ModuleNotFoundError as error:
        raise UserError(f"emulating mps needs torch: {error}", build.NEEDS_TORCH) from None

    build.check_torch(real)
    operators = oracle.load(version or real.__version__)
    _give_way(stack)
    options = inherited.Options(version, fallback, memory, dead)
    if fallback is None:
        fallback = fallback_enabled(_AT_IMPORT, operators.torch)
    emulation = Emulation(
        operators.torch, str(real.__version__), fallback, memory or RECOMMENDED_MEMORY, dead
    )
    with _lock:
        if _current:
            raise UserError(
                "mps is already emulated in this process",
                "leave the other emulate_mps() block first, or start another process",
            )
        native = build.load(_report)
        _install(native, emulation, operators, record)
        _current.append(emulation)
    stack.callback(_stop, native)
    from metalassay.mps.emulator.shims import shims

    stack.enter_context(shims(emulation.signposts))
    stack.enter_context(inherited.handed_down(options))
    if not quiet:
        _report(str(emulation))
    return emulation


def start_inherited() -> None:
    """Start the emulation of the process that started this one; it lasts until this process ends.

    Raises ``UserError`` if it cannot, as with another torch, and ``ValueError`` for a malformed variable.
    """
    options = inherited.received()
    if options is None or _current:
        return
    stack = contextlib.ExitStack()
    start(
        stack,
        options.torch,
        fallback=options.fallback,
        memory=options.memory,
        dead=options.dead,
        quiet=True,
    )
    _inherited.append(stack)


def _give_way(stack: contextlib.ExitStack) -> None:
    """End an inherited emulation until ``stack`` closes: what this process asks for itself comes first."""
    if _inherited:
        _inherited.pop().close()
        stack.callback(start_inherited)


def _install(native: Any, emulation: Emulation, operators: oracle.Operators, record: bool) -> None:
    texts = messages(emulation.torch, operators.git)
    settings = native.Settings()
    settings.fallback = emulation.fallback
    settings.not_implemented = texts.not_implemented
    settings.not_implemented_distributed = texts.not_implemented_distributed
    settings.falls_back = texts.falls_back
    settings.pool = texts.pool
    settings.recommended_memory = emulation.memory
    settings.dead = emulation.dead
    settings.record = record
    found = differences.between(operators, emulation.installed, fallback=emulation.fallback)
    settings.not_called = found.not_called
    settings.cannot_tell = found.cannot_tell
    settings.unsure = texts.unsure
    if not record:  # a recording is what the refusals follow from
        settings.refused, settings.taken = differences.dtype_settings(emulation.torch)
        settings.limits = {
            f"aten::{operator}": found
            for operator, found in limits.by_operator(emulation.torch).items()
        }
    native.install(
        sorted(found.kernels),
        sorted(operators.fallbacks),
        sorted(found.rejected),
        sorted(found.absent),
        settings,
    )


def _stop(native: Any) -> None:
    with _lock:
        _current.clear()
        native.uninstall()


def _report(text: str) -> None:
    print(f"metalassay: {text}", file=sys.stderr, flush=True)  # noqa: T201  (the banner)
