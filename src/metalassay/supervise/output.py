"""Pass a program's output on unchanged, and keep its last part to say what ended the program.

Where our own stdout or stderr is a terminal, the program gets a pseudoterminal, so that it prints
progress bars and colours as it would without us; else it gets a pipe. If both of ours are the same
terminal or file, the program's are one too, which keeps their order.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType

TAIL = 256 * 1024  # bytes; a traceback of several ranks has some tens of kB
_CHUNK = 65536
_LINGER = 0.5  # seconds to read on after the program's end, while descendants hold its output open

Sink = Callable[[str, bytes], None]
"""Takes the name of a stream, "out" or "err" ("all" where they are one), and what was read from it."""


class Output:
    """Reads what the program writes and passes it on; ``with`` this around starting the program.

    ``descriptors`` are those for the program's stdout and stderr. Call ``started`` after the start,
    and ``drain`` after the program's end. ``sink`` gets everything too, in the reading thread.
    ``notify`` is told once if our own output cannot be written, as on a full disk: the program goes on.
    """

    def __init__(
        self,
        sink: Sink = lambda stream, data: None,
        notify: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._sink, self._notify = sink, notify
        self.lost = False
        """Whether something could not be written, as on a full disk."""
        self._tail: deque[bytes] = deque()
        self._kept = 0
        self._lock = threading.Lock()
        self.last = time.monotonic()
        """When the program last wrote something, as time.monotonic() tells it."""
        self.bytes = 0
        self._streams: dict[int, tuple[str, int]] = {}  # ours to read from: name, ours to write to
        self._theirs: list[int] = []
        self._masters: list[int] = []
        self._ended = threading.Event()
        self._wake_reader, self._wake_writer = os.pipe()

    def __enter__(self) -> Output:
        own = [_descriptor(sys.stdout, 1), _descriptor(sys.stderr, 2)]
        if _same(*own):
            self._open("all", own[1])
            self._theirs *= 2
        else:
            for name, descriptor in zip(("out", "err"), own, strict=True):
                self._open(name, descriptor)
        self._thread = threading.Thread(target=self._read, name="output", daemon=True)
        return self

    @property
    def descriptors(self) -> tuple[int, int]:
        """The descriptors to give to the program as its stdout and stderr."""
        return self._theirs[0], self._theirs[1]

    def started(self) -> None:
        """Close our copies of the program's ends, and begin to read."""
        for descriptor in set(self._theirs):
            os.close(descriptor)
        self._theirs = []
        self._thread.start()

    def drain(self) -> None:
        """Read what is left after the program's end; return when all is passed on."""
        self._ended.set()
        with contextlib.suppress(OSError):
            os.write(self._wake_writer, b".")
        if self._thread.ident is not None:
            self._thread.join()

    def __exit__(self, *failure: object) -> None:
        self.drain()
        descriptors = {*self._theirs, *self._streams, self._wake_reader, self._wake_writer}
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def tail(self) -> bytes:
        """Return the last ``TAIL`` bytes that the program wrote, of both streams."""
        with self._lock:
            return b"".join(self._tail)[-TAIL:]

    @contextlib.contextmanager
    def following_the_size(self) -> Iterator[None]:
        """Give the pseudoterminals the size of our terminal, now and when it changes."""
        if not self._masters:
            yield
            return

        def resize(number: int | None = None, frame: FrameType | None = None) -> None:
            with contextlib.suppress(OSError):
                size = os.get_terminal_size(_terminal())
                for master in self._masters:
                    _set_size(master, size)

        resize()
        previous = signal.signal(signal.SIGWINCH, resize)
        try:
            yield
        finally:
            signal.signal(signal.SIGWINCH, previous)

    def _open(self, name: str, descriptor: int) -> None:
        if os.isatty(descriptor):
            import pty
            import tty

            reading, theirs = pty.openpty()
            tty.setraw(theirs)  # our own terminal turns newlines into what it needs
            self._masters.append(reading)
        else:
            reading, theirs = os.pipe()
        self._streams[reading] = (name, descriptor)
        self._theirs.append(theirs)

    def _read(self) -> None:
        open_ = list(self._streams)
        deadline: float | None = None
        while open_:
            if self._ended.is_set() and deadline is None:
                deadline = time.monotonic() + _LINGER
            wait = None if deadline is None else max(deadline - time.monotonic(), 0)
            waiting = open_ if deadline is not None else [*open_, self._wake_reader]
            ready, _, _ = select.select(waiting, [], [], wait)
            if not ready and deadline is not None:
                break
            for descriptor in ready:
                if descriptor == self._wake_reader:
                    continue
                data = _some(descriptor)
                if not data or not self._pass_on(descriptor, data):
                    open_.remove(descriptor)
                    if (
                        data
                    ):  # nobody reads ours any longer: the program learns it as it would from us
                        self._streams.pop(descriptor)
                        os.close(descriptor)

    def _pass_on(self, descriptor: int, data: bytes) -> bool:
        name, target = self._streams[descriptor]
        self.last = time.monotonic()
        self.bytes += len(data)
        with self._lock:
            self._tail.append(data)
            self._kept += len(data)
            while self._kept - len(self._tail[0]) >= TAIL:
                self._kept -= len(self._tail.popleft())
        self._sink(name, data)
        failed = _write(target, data)
        if failed in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            if not self.lost:
                self.lost = True
                self._notify(f"output is lost from here on: {os.strerror(failed)}")
            return True
        return failed == 0


def _write(descriptor: int, data: bytes) -> int:
    """Write everything; return 0, or the number of the error that nobody can read it for."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # a terminal that another program made non-blocking
            select.select([], [descriptor], [])
        except OSError as error:
            return error.errno or errno.EIO
    return 0


def _some(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK)
    except OSError:  # how Linux says that the last user of a pseudoterminal has closed it
        return b""


def _descriptor(stream: object, default: int) -> int:
    """Return a stream's descriptor; the usual one where a test has replaced the stream."""
    try:
        return int(stream.fileno())  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return default


def _same(first: int, second: int) -> bool:
    """Return whether two descriptors are of one terminal, file or pipe."""
    try:
        one, other = os.fstat(first), os.fstat(second)
    except OSError:
        return False
    return (one.st_dev, one.st_ino, one.st_rdev) == (other.st_dev, other.st_ino, other.st_rdev)


def _terminal() -> int:
    for stream, default in ((sys.stdout, 1), (sys.stderr, 2)):
        descriptor = _descriptor(stream, default)
        if os.isatty(descriptor):
            return descriptor
    raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))


def _set_size(descriptor: int, size: os.terminal_size) -> None:
    import fcntl
    import struct
    import termios

    packed = struct.pack("HHHH", size.lines, size.columns, 0, 0)
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, packed)
