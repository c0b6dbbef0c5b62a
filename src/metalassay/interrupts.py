"""Ctrl+C, SIGTERM and SIGHUP while something runs: noted at any moment, acted upon where nothing gets lost."""

from __future__ import annotations

import _weakrefset
import contextlib
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

_LATER = 0.01  # seconds until a signal that came at a bad moment comes again
_CALLBACKS = {
    ("cb", "<frozen importlib._bootstrap>"),  # of _get_module_lock
    ("_remove", _weakrefset.__file__),
    ("remove", weakref.__file__),
}
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """A context manager that turns the first of these signals into one ``KeyboardInterrupt``.

    ``check`` raises it, a block of ``at_once`` wherever it is, and the end of the context if nothing else has.
    Python's own handler raises it between any two instructions: a row that is just handed in would be
    forgotten, and a finaliser would swallow it. What comes after the first signal is ignored inside the
    context, so that the clean-up runs to its end.

    A signal that is ignored stays so: a shell starts background jobs without SIGINT, and means it. Outside
    the main thread, where Python delivers no signals, this has no effect.
    """

    def __init__(self) -> None:
        self.requested = False
        self._raises = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if error is None:
            self.check()

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if a signal has come."""
        if self.requested:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Let the signal end the block wherever it is: for what waits, and leaves nothing half-done."""
        self._raises = True
        try:
            self.check()
            yield
        finally:
            self._raises = False
        self.check()  # a finaliser in the block may have swallowed it

    def _handle(self, number: int, frame: FrameType | None) -> None:
        first, self.requested = not self.requested, True
        if first and self._raises:
            raise KeyboardInterrupt


class TerminatedError(KeyboardInterrupt):
    """SIGTERM or SIGHUP: unlike Ctrl+C, it came to this process alone, and not to its children."""


@contextlib.contextmanager
def end_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise ``TerminatedError`` in the block, so that nothing is left half-done.

    A signal that is ignored or handled already stays so, but for Python's own Ctrl+C, which is handled
    with the same care: where Python would swallow the error, as in a finaliser and while it forgets a
    module's lock, it comes a little later. Without effect outside the main thread.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for each in _SIGNALS:
            if signal.getsignal(each) in (signal.SIG_DFL, signal.default_int_handler):
                before[each] = signal.signal(each, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is _end:  # not where `ignore` was called meanwhile
                signal.signal(number, handler)


@contextlib.contextmanager
def end_at_once() -> Iterator[None]:
    """Let Ctrl+C, SIGTERM and SIGHUP end this process in the block: only for imports, with nothing begun.

    torch and numpy catch every error of some of their imports, and would go on with half a module.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for each in _SIGNALS:
            if signal.getsignal(each) in (signal.SIG_DFL, signal.default_int_handler, _end):
                before[each] = signal.signal(each, _leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"metalassay: interrupted\n")
    os._exit(130)


def _end(number: int, frame: FrameType | None) -> None:
    if _is_swallowed(frame):
        again = threading.Timer(_LATER, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        raise TerminatedError


def _is_swallowed(frame: FrameType | None) -> bool:
    """Whether an error of this frame is only printed: finalisers, and callbacks of weak references."""
    while frame is not None:
        name, file = frame.f_code.co_name, frame.f_code.co_filename
        if name == "__del__" or (name, file) in _CALLBACKS:
            return True
        frame = frame.f_back
    return False


def ignore() -> None:
    """Ignore the signals from now on, in a program that has been interrupted and only has to end.

    A second Ctrl+C would kill it while Python shuts down, and its exit code would not be ours.
    """
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
