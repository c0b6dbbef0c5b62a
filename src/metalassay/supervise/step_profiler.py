"""Profile some steps of a training with torch's own profiler, in turns with steps without it.

A profiled step is slower, so every other step is a plain one: the ratio of the two is what profiling cost,
whatever else the machine does. torch's profiler records each profiled step on its own; their events
become one trace on one clock.

torch is handed in and never imported, and only the standard library is used, for Python 3.10 too:
processes of `metalassay run` profile themselves with this. On MPS torch's profiler sees the operators as
the CPU issues them, so what the GPU does is marked by signposts for Apple's Instruments
(``torch.mps.profiler``, https://docs.pytorch.org/docs/stable/generated/torch.mps.profiler.start.html).
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from metalassay.supervise import profile_file
from metalassay.supervise.profile_file import Profile

WARM_UP = 3
"""Steps before the first profiled one: the first ones allocate memory and choose algorithms."""
MOST_EVENTS = 200_000
"""In the trace file, about 5 MB compressed; what is beyond is left out, and said."""
MOST_BYTES = 256 * 2**20
"""Of the events of one step as text; those of a larger step are not read."""
QUIET = {"KINETO_LOG_LEVEL": "6"}
"""Environment that keeps torch's profiler from printing two lines to stderr for every profiled step."""


class StepProfiler:
    """Profiles ``steps`` steps after a warm-up, each followed by a plain one, and writes two files.

    Call ``begin`` before each step and ``end`` after it while ``done`` is False. ``device`` is the type of
    the device that the steps use. The files are ``profile{suffix}.json`` and ``trace{suffix}.json.gz`` in ``folder``;
    ``say`` gets the table and what went wrong, line by line. Nothing here raises ``OSError`` or ``RuntimeError``: a
    full disk or another active profiler costs the profile, and not the training.
    """

    def __init__(
        self,
        torch: Any,
        device: str,
        steps: int,
        folder: Path,
        say: Callable[[str], None],
        *,
        suffix: str = "",
        warm_up: int = WARM_UP,
    ) -> None:
        self._torch, self._device = torch, device
        self._left_to_warm_up, self._steps = warm_up, steps
        self._folder, self._suffix, self._say = folder, suffix, say
        self._session: Any = None
        self._taken: Any = None  # the session of a profiled step whose plain one is not done
        self._signposts: Any = None
        self._began = 0.0
        self._tried = False  # the first session, which sets up the profiler, is thrown away
        self._profiled: list[float] = []
        self._plain: list[float] = []
        self._sums: dict[str, list[float]] = {}
        self._trace = _Trace()
        self.done = False

    @property
    def measuring(self) -> bool:
        """Whether the step that ``begin`` announced is one of the profile, and enters no speed."""
        return not self.done and self._left_to_warm_up <= 0

    def begin(self) -> None:
        """Prepare for the next step: start the profiler, or the clock of a plain step."""
        if self.done:
            return
        if self._left_to_warm_up > 0:
            return
        try:
            if not self._tried:
                self._try()
            if len(self._profiled) == len(self._plain):
                self._start()
            self._wait()
        except RuntimeError as error:
            self._give_up(error)
        self._began = time.perf_counter()

    def end(self) -> None:
        """Take the step that has ended; after the last one, write the files and say the table."""
        if self.done:
            return
        if self._left_to_warm_up > 0:
            self._left_to_warm_up -= 1
            return
        try:
            self._wait()
            seconds = time.perf_counter() - self._began
            if self._session is not None:
                self._taken = self._stop()
                self._profiled.append(seconds)
            else:
                self._add(self._taken)
                self._plain.append(seconds)
        except (OSError, RuntimeError, ValueError) as error:
            self._give_up(error)
        if not self.done and len(self._plain) == self._steps:
            self.finish()

    def finish(self) -> None:
        """Write what there is, also after fewer steps than wanted; a step that has begun is left out."""
        if self.done:
            return
        self.done = True
        with contextlib.suppress(RuntimeError):
            self._stop()
        pairs = len(self._plain)
        if not pairs:
            self._say("no profile: the training ended before a step was profiled")
            return
        written: list[str] = []
        files = (
            []
            if pairs == self._steps
            else [f"the training ended before {self._steps} steps were profiled"]
        )
        trace = f"trace{self._suffix}.json.gz"
        try:
            _replace(self._folder / trace, self._trace.compressed())
            cut = f", {self._trace.cut:,} more left out" if self._trace.cut else ""
            written.append(trace)
            files.append(
                f"trace: {self._folder / trace} ({self._trace.count:,} events{cut}; open it in"
                " ui.perfetto.dev)"
            )
        except OSError as error:
            files.append(f"no trace: cannot write {self._folder / trace}: {error.strerror}")
        profile = Profile(
            device=self._device,
            torch=str(self._torch.__version__),
            profiled=tuple(self._profiled[:pairs]),
            plain=tuple(self._plain),
            operators=profile_file.operators_of(self._sums),
            trace="".join(written),
            events=self._trace.count,
            cut=self._trace.cut,
            notes=self._notes(),
        )
        summary = self._folder / f"profile{self._suffix}.json"
        try:
            _replace(summary, profile_file.to_json(profile).encode())
            files.append(f"for a plot: metalassay report --log {summary}")
        except OSError as error:
            files.append(f"no summary: cannot write {summary}: {error.strerror}")
        for line in profile_file.lines(profile, files):
            self._say(line)

    def abandon(self) -> None:
        """Stop the profiler if it runs, and write nothing."""
        self.done = True
        with contextlib.suppress(RuntimeError):
            self._stop()

    def _notes(self) -> tuple[str, ...]:
        if self._device != "mps":
            return ()
        posts = getattr(getattr(self._torch, "mps", None), "profiler", None)
        told = "the GPU's is in Instruments (os_signpost, Metal)" if posts else "not the GPU's"
        return (
            f"on mps this is the time in which the CPU issues the operators; {told}",
            "on mps the memory is that of the CPU's allocations, where torch tells no other",
        )

    def _give_up(self, error: Exception) -> None:
        self.abandon()
        reason = " ".join(str(error).split()) or type(error).__name__
        self._say(f"no profile: torch's profiler failed ({reason[:200]}); the training goes on")

    def _try(self) -> None:
        """Start and stop the profiler once, which takes longer the first time."""
        active = getattr(self._torch.autograd, "_profiler_enabled", None)
        if active is not None and active():
            raise RuntimeError("another profiler is active in this program")
        self._tried = True
        self._start()
        self._stop()

    def _start(self) -> None:
        profiler = importlib.import_module("torch.profiler")
        activities = [profiler.ProfilerActivity.CPU]
        if self._device == "cuda":
            activities.append(profiler.ProfilerActivity.CUDA)
        if self._device == "mps":
            self._signposts = getattr(getattr(self._torch, "mps", None), "profiler", None)
        self._session = profiler.profile(activities=activities, profile_memory=True)
        self._session.start()
        if self._signposts is not None:
            self._signposts.start(mode="interval", wait_until_completed=False)

    def _stop(self) -> Any:
        session, self._session = self._session, None
        signposts, self._signposts = self._signposts, None
        if signposts is not None:
            signposts.stop()
        if session is not None:
            session.stop()
        return session

    def _add(self, session: Any) -> None:
        for each in session.key_averages():
            sums = self._sums.setdefault(each.key, [0.0] * 5)
            for place, names in enumerate(_FIGURES):
                sums[place] += float(next((getattr(each, n) for n in names if hasattr(each, n)), 0))
        self._trace.add(session)

    def _wait(self) -> None:
        """Wait for the device, so that the clock includes what it was asked to do."""
        if self._device == "mps":
            self._torch.mps.synchronize()
        elif self._device == "cuda":
            self._torch.cuda.synchronize()


# Of an entry of key_averages; "device" was called "cuda" before torch 2.4.
_FIGURES = (
    ("count",),
    ("self_cpu_time_total",),
    ("self_device_time_total", "self_cuda_time_total"),
    ("self_cpu_memory_usage",),
    ("self_device_memory_usage", "self_cuda_memory_usage"),
)


class _Trace:
    """The events of several sessions of the profiler, as one trace in Chrome's format."""

    def __init__(self) -> None:
        self._text = io.BytesIO()
        self._stream = gzip.GzipFile(fileobj=self._text, mode="wb", mtime=0)
        self._stream.write(b'{"displayTimeUnit": "ms", "traceEvents": [\n')
        self._base: float | None = None
        self.count = self.cut = 0

    def add(self, session: Any) -> None:
        """Add the events of a session. Raises ``OSError`` or ``ValueError`` if they cannot be read."""
        with tempfile.TemporaryDirectory(prefix="metalassay-") as folder:
            path = Path(folder, "trace.json")
            session.export_chrome_trace(str(path))
            if path.stat().st_size > MOST_BYTES:
                raise ValueError(f"a step has more than {MOST_BYTES >> 20} MiB of events")
            # torch wrote it: what is not UTF-8 in it are names, which are only shown.
            document = json.loads(path.read_text("utf-8", errors="replace"), strict=False)
        base = float(document.get("baseTimeNanoseconds", 0)) / 1000
        self._base = base if self._base is None else self._base
        for event in document["traceEvents"]:
            if self.count >= MOST_EVENTS:
                self.cut += 1
                continue
            self._write(event, base - self._base)

    def _write(self, event: Mapping[str, Any], later: float) -> None:
        if later and "ts" in event:
            event = {**event, "ts": event["ts"] + later}
        separator = b",\n" if self.count else b""
        self._stream.write(separator + json.dumps(event).encode())
        self.count += 1

    def compressed(self) -> bytes:
        """End the trace and return the content of its file."""
        self._stream.write(b"\n]}\n")
        self._stream.close()
        return self._text.getvalue()


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it. Raises ``OSError``; an old file then stays."""
    # Not metalassay.files, which needs Python 3.11.
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        raise OSError(22, "not a regular file", str(path))
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # noqa: PTH101  (a plain name, no Path at hand)
        os.replace(name, path)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise
