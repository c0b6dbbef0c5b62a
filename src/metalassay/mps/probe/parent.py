"""Find out what the MPS backend of a given Python's torch really does on this machine.

`torch.backends.mps.is_available()` is not enough: on some virtual machines it is true but no
allocation works; on others small computations work but larger ones hang or return wrong results
(https://github.com/actions/runner-images/issues/9918, .../14380). Because a computation may hang or
abort, it runs in a child process (child.py), which is killed after a timeout.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import IO, Any

from metalassay import macos_release, minder
from metalassay.errors import UserError
from metalassay.fields import FieldError, one_line, parse_json
from metalassay.mps.probe import os_floors

NO_TORCH, NOT_BUILT, NOT_ADVERTISED = "no torch", "not built", "not advertised"
UNFINISHED = "unfinished"
DEAD, WRONG, USABLE = "dead", "wrong", "usable"
STATES = {
    NO_TORCH: "No torch can be imported.",
    UNFINISHED: "The time was over before torch was imported and tested.",
    NOT_BUILT: "This torch is built without MPS.",
    NOT_ADVERTISED: "torch has MPS but finds no Metal GPU that it supports.",
    DEAD: "torch offers MPS, but not even 256 bytes can be allocated on it.",
    WRONG: "MPS can allocate memory, but computations hang, abort or return wrong results.",
    USABLE: "MPS works: its results agree with the CPU.",
}
"""The states that a probe can find, each described in a sentence."""

_STAGES = {
    "import": "import torch",
    "built": "torch.backends.mps.is_built()",
    "available": "torch.backends.mps.is_available()",
    "allocate": "allocating 256 bytes",
    "product": "multiplying two 8 x 8 matrices",
    "name": "reading the name of the GPU",
    "conv2d": "a convolution",
    "matmul": "multiplying two 512 x 512 matrices",
    "inverse": "inverting a 512 x 512 matrix",
    "softmax": "a layer norm and a softmax",
    "backward": "a backward pass with an SGD step",
}
_MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Probe:
    """The result of a probe: ``state`` is a key of ``STATES``, ``reason`` explains it in words.

    ``os_floor`` is the oldest macOS on which this torch can use MPS. None means unknown. ``translated``:
    the Python is an Intel program on Apple silicon. ``timed_out`` is the time limit in seconds that
    ended the probe, None if it ended by itself.
    """

    state: str
    reason: str
    torch: str | None
    macos: str | None
    os_floor: str | None
    virtual: bool | None
    gpu: str | None
    translated: bool | None = None
    timed_out: float | None = None


@dataclass(frozen=True)
class Answer:
    """The lines that the child printed and how it ended; ``seconds`` is set if it timed out."""

    lines: tuple[Mapping[str, Any], ...]
    returncode: int | None = 0
    seconds: float | None = None
    stderr: str = ""


def probe(python: str = sys.executable, timeout: float = 60) -> Probe:
    """Probe the torch of the interpreter ``python``; takes as long as its import, plus a second.

    After ``timeout`` seconds the child and its children are killed, which is a result as well.
    Raises ``UserError`` if ``python`` is not an interpreter that answers.
    """
    return classify(ask(python, timeout))


def ask(python: str, timeout: float, device: str = "mps") -> Answer:
    """Run the child and return its answer. Raises ``UserError`` if it cannot be started."""
    source = resources.files(__package__).joinpath("child.py").read_text("utf-8")
    # Files, not pipes: a pipe stays open for as long as any grandchild lives.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            child = minder.start(
                [python, "-c", source, device],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                # SYSTEM_VERSION_COMPAT: otherwise a Python built for an old macOS sees version 10.16.
                env={**os.environ, "SYSTEM_VERSION_COMPAT": "0", "PYTHONIOENCODING": "utf-8"},
                start_new_session=True,
                group=True,
            )
        except OSError as error:
            raise UserError(
                f"cannot start {python}: {error.strerror or error}",
                "give a Python interpreter or the folder of a virtual environment",
            ) from None
        seconds = None
        try:
            child.wait(timeout)
        except subprocess.TimeoutExpired:
            seconds = timeout
        finally:
            _kill(child)
            minder.forget(child.pid)
        return Answer(_lines(_read(out)), child.returncode, seconds, _read(err)[-4000:])


def classify(answer: Answer) -> Probe:
    """Return what an answer means. Raises ``UserError`` if the child did not answer at all."""
    begun, ended = _stages(answer.lines)
    machine = ended.get("python")
    if machine is None:
        timed_out = f"timed out after {answer.seconds:g} s" if answer.seconds is not None else ""
        detail = _last_line(answer.stderr) or timed_out
        raise UserError(
            f"the Python to examine did not answer{f': {detail}' if detail else ''}",
            "give a Python interpreter or the folder of a virtual environment",
        )
    torch = _text(ended.get("import", {}).get("torch")) or _text(machine.get("installed"))
    macos = macos_release.choose(_text(machine.get("product")), _text(machine.get("macos")))
    translated = machine.get("machine") == "x86_64" and machine.get("translated") == "1"
    gpu = _text(ended.get("name", {}).get("gpu"))
    floor = os_floors.floor(torch) if machine.get("system") == "Darwin" else None
    virtual = _virtual(machine, gpu)
    state, reason = _verdict(answer, begun, ended)
    notes = []
    if translated:
        notes.append("this Python is an Intel build under Rosetta, and MPS needs one for arm64")
    elif state not in (NO_TORCH, UNFINISHED, NOT_BUILT):
        if floor and os_floors.below(macos, floor):
            notes.append(f"macOS {macos} is older than {floor.needs}, which torch {torch} needs")
        elif floor and floor.gpu_family and state == NOT_ADVERTISED:
            notes.append(f"torch {torch} requires a GPU of Metal family {floor.gpu_family}")
        if virtual:
            notes.append("this is a virtual machine")
        elif state == NOT_ADVERTISED and not notes:
            notes.append("a sandbox can hide the GPU")
    return Probe(
        state=state,
        reason="; ".join([reason, *notes]),
        torch=torch,
        macos=macos,
        os_floor=floor.needs if floor else None,
        virtual=virtual,
        gpu=gpu,
        translated=translated,
        timed_out=answer.seconds,
    )


def _verdict(
    answer: Answer, begun: str | None, ended: Mapping[str, Mapping[str, Any]]
) -> tuple[str, str]:
    """Return the state and the reason, without the notes about the machine."""
    if unfinished := _unfinished(answer, begun, ended):
        return UNFINISHED, unfinished
    if "import" not in ended:
        error = _find(answer, "import", "error")
        if error.get("missing") == "torch":
            return NO_TORCH, "torch is not installed"
        return NO_TORCH, f"torch cannot be imported: {_how(answer, 'import')}"
    if "built" not in ended:
        return NO_TORCH, f"torch is incomplete: {_how(answer, 'built')}"
    if ended["built"].get("value") is not True:
        return NOT_BUILT, f"torch {ended['import'].get('torch')} is built without MPS"
    if "available" not in ended:
        return DEAD, _how(answer, "available")
    if ended["available"].get("value") is not True:
        message = _find(answer, "why", "error").get("message")
        reason = "torch finds no Metal GPU that it supports"
        return NOT_ADVERTISED, f"{reason}: {one_line(message)}" if message else reason
    if "allocate" not in ended:
        return DEAD, _how(answer, "allocate")
    if "done" not in ended:
        return WRONG, _how(answer, begun or "product")
    return USABLE, "its results agree with the CPU"


def _unfinished(answer: Answer, begun: str | None, ended: Mapping[str, Mapping[str, Any]]) -> str:
    """Return why a probe that timed out says nothing about MPS, "" where it does.

    macOS scans a library when it is loaded for the first time, which took 60 s for torch and its companions
    (https://github.com/Canner/WrenAI/pull/2354). A computation that had less than half of the time was not
    given a chance.
    """
    if answer.seconds is None or "done" in ended:
        return ""
    if "import" not in ended:
        return _how(answer, "import")
    took = ended["import"].get("took")
    if isinstance(took, int | float) and took > answer.seconds / 2:
        name = _STAGES.get(begun or "", begun)
        return f"import torch took {took:.0f} s of {answer.seconds:g} s, which left too little for {name}"
    return ""


def _stages(
    lines: tuple[Mapping[str, Any], ...],
) -> tuple[str | None, dict[str, Mapping[str, Any]]]:
    """Return the last stage that began, and the final line of every stage that ended."""
    begun, ended = None, {}
    for line in lines:
        if line["state"] == "begin":
            begun = line["stage"]
        elif line["state"] == "end":
            ended[line["stage"]] = line
    return begun, ended


def _how(answer: Answer, stage: str) -> str:
    """Return in words how a stage failed."""
    name = _STAGES.get(stage, stage)
    wrong = _find(answer, stage, "wrong")
    if wrong:
        return f"{name} differs from the CPU by {wrong.get('difference')} of the largest value"
    error = _find(answer, stage, "error")
    if error:
        return f"{name} failed: {error.get('error')}: {one_line(error.get('message'))}"
    if answer.seconds is not None:
        return f"{name} did not finish: the probe timed out after {answer.seconds:g} s"
    code, last = answer.returncode, _last_line(answer.stderr)
    words = f"{name} ended the process with code {code}"
    if code is not None and code < 0:
        words = f"{name} killed the process with signal {-code} ({_signal_name(-code)})"
    return f"{words}: {last}" if last else words


def _find(answer: Answer, stage: str, state: str) -> Mapping[str, Any]:
    for line in answer.lines:
        if line["stage"] == stage and line["state"] == state:
            return line
    return {}


def _virtual(machine: Mapping[str, Any], gpu: str | None) -> bool | None:
    if "(Virtual)" in str(machine.get("chip")) or "Paravirtual" in (gpu or ""):
        return True
    return {"0": False, "1": True}.get(str(machine.get("hypervisor")))


def _lines(text: str) -> tuple[Mapping[str, Any], ...]:
    """Parse the child's lines, ignoring what torch or a site hook prints in between."""
    lines = []
    for line in text.splitlines():
        with contextlib.suppress(FieldError):
            value = parse_json(line)
            if isinstance(value, dict) and all(_text(value.get(k)) for k in ("stage", "state")):
                lines.append(value)
    return tuple(lines)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and its children if it still runs, also after Ctrl+C."""
    if child.poll() is not None:
        return
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    # A process that hangs in a driver survives even that; do not wait for it.
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(5)


def _read(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read(_MAX_BYTES).decode("utf-8", "replace")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _last_line(text: str) -> str:
    return next((one_line(line) for line in reversed(text.splitlines()) if line.strip()), "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
