"""Parse what is to be run: a workload and its options, or a function in a file of the user.

transit-cnn:train:batch=4,threads=1      gpt-tiny:infer      bench.py::step:device=mps      my.py:batch=8
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metalassay.errors import UserError
from metalassay.machine import dtypes, thread_limit

MODES = ("train", "infer")
DEVICES = ("cpu", "mps", "cuda")
FRAMEWORKS = ("torch", "mlx")
_NEXT = "write it as in transit-cnn:train:batch=4,threads=1 or bench.py::step"


@dataclass(frozen=True)
class Spec:
    """One thing to run.

    ``kind`` is "workload" (``name``, ``mode``), "function" (``function`` of the file ``name``) or "model": the
    training step of a file with ``make(batch_size)``, see ``metalassay.ask.contract``.

    ``batch`` is in samples. ``malloc`` is "default" or "tuned", with which glibc keeps freed memory.
    ``framework`` is what computes a workload, "torch" or "mlx"; MLX has one number format and threads of its own.
    ``extra`` adds that many products of two 64 x 64 matrices to each step: a slowdown of known size
    with which to test a comparison.
    """

    kind: str
    name: str
    mode: str = "train"
    function: str = ""
    batch: int = 4
    dtype: str = "float32"
    device: str = "cpu"
    threads: int = 1
    malloc: str = "default"
    extra: int = 0
    framework: str = "torch"

    def text(self) -> str:
        """Return the text that ``parse`` reads as this spec; options at their defaults are omitted."""
        head = {"workload": f"{self.name}:{self.mode}", "model": self.name}.get(
            self.kind, f"{self.name}::{self.function}"
        )
        defaults = {field.name: field.default for field in dataclasses.fields(Spec)}
        options = [
            f"{key}={value}"
            for key in _OPTIONS
            if (value := getattr(self, key)) != defaults[key]
            or (key == "batch" and head[-1] != ")")
            if key not in _REFUSED[self.kind]
        ]
        return ":".join([head, ",".join(options)] if options else [head])


@dataclass(frozen=True)
class Arm:
    """A spec in an environment: ``python`` is the interpreter, ``folder`` a checkout in which to run.

    ``variables`` are environment variables that its process has beside those of this one.
    """

    label: str
    spec: Spec
    python: str
    folder: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    def message(self, warm_up: float) -> dict[str, Any]:
        """Return the message from which the child builds it; ``warm_up`` is a maximum in seconds."""
        file = (self.folder or Path()) / self.spec.name
        return {**dataclasses.asdict(self.spec), "file": str(file.absolute()), "warm_up": warm_up}


_NUMBERS = {"batch": 1, "threads": 1, "extra": 0}  # with their minimum
_WORDS = {
    "dtype": dtypes.NAMES,
    "device": DEVICES,
    "malloc": ("default", "tuned"),
    "framework": FRAMEWORKS,
}
_OPTIONS = ("batch", "dtype", "device", "threads", "malloc", "extra", "framework")
_REFUSED: dict[str, tuple[str, ...]] = {
    "workload": (),
    "function": ("batch", "dtype", "extra", "framework"),
    "model": ("extra", "framework"),
}


def parse(text: str, device: str = "cpu") -> Spec:
    """Parse a spec; ``device`` is the one if the text names none. Raises ``UserError`` with what is wrong."""
    match = re.fullmatch(r"(?P<file>.+\.py)::(?P<function>\w+)(?::(?P<options>.*))?", text)
    if match:
        spec = Spec("function", match["file"], function=match["function"], device=device)
        return _with(spec, match["options"] or "", text)
    match = re.fullmatch(r"(?P<file>[^:]+\.py)(?::(?P<options>[^:]*))?", text)
    if match:
        spec = Spec("model", match["file"], device=device)
        return _with(spec, match["options"] or "", text)
    if re.search(r"\.py(::|[:,]|$)", text):
        raise UserError(
            f"{text!r} is neither a file nor a function in one",
            "write FILE.py::FUNCTION, and options after a colon: bench.py::step:malloc=tuned",
        )
    name, *parts = text.split(":")
    spec = Spec("workload", name, device=device)
    if not name or len(parts) > 2:
        raise UserError(f"{text!r} is not a workload", _NEXT)
    if parts and "=" not in parts[0]:
        mode = parts.pop(0)
        if mode not in MODES:
            raise UserError(f"{text!r}: unknown mode {mode!r}", f"choose {' or '.join(MODES)}")
        spec = dataclasses.replace(spec, mode=mode)
    if len(parts) > 1:
        raise UserError(f"{text!r} is not a workload", _NEXT)
    return _with(spec, parts[0] if parts else "", text)


def _with(spec: Spec, options: str, text: str) -> Spec:
    changes: dict[str, Any] = {}
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key in changes:
            raise UserError(f"{text!r}: option {key!r} given twice", "give it once")
        known = [each for each in _OPTIONS if each not in _REFUSED[spec.kind]]
        if key not in known:
            raise UserError(
                f"{text!r}: unknown option {key!r}", f"choose one of {', '.join(known)}"
            )
        if key in _NUMBERS:
            if not (re.fullmatch("[0-9]{1,7}", value) and int(value) >= _NUMBERS[key]):
                raise UserError(
                    f"{text!r}: {key}={value}", f"a whole number of at least {_NUMBERS[key]}"
                )
            if key == "threads" and int(value) > thread_limit.maximum():
                raise UserError(
                    f"{text!r}: {key}={value}", f"at most threads={thread_limit.maximum()} here"
                )
            changes[key] = int(value)
        elif value not in _WORDS[key]:
            raise UserError(f"{text!r}: {key}={value}", f"choose one of {', '.join(_WORDS[key])}")
        else:
            changes[key] = value
    spec = dataclasses.replace(spec, **changes)
    _check_framework(spec, text)
    return spec


def _check_framework(spec: Spec, text: str) -> None:
    """Raise ``UserError`` for an option that MLX does not know."""
    if spec.framework != "mlx":
        return
    for key, only in (("dtype", "float32"), ("threads", 1), ("extra", 0)):
        if (value := getattr(spec, key)) != only:
            raise UserError(f"{text!r}: {key}={value} is not for mlx", f"leave out {key}")
    if spec.device == "cuda":
        raise UserError(f"{text!r}: mlx is not timed on cuda", "choose device=cpu, or mps on a Mac")
