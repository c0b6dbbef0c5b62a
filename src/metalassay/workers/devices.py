"""Which device ``--device auto`` takes, found out without importing torch here."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import dataclass

from metalassay import ask_python, safe_path
from metalassay.ask_python import NoAnswerError
from metalassay.mps import probe

_CUDA = f"{safe_path.DROP}import torch; print(torch.cuda.is_available())"


@dataclass(frozen=True)
class Taken:
    """The device to compute on, and why ``auto`` took it: one sentence, "" where it was named."""

    device: str
    why: str = ""

    def __str__(self) -> str:
        return f"device: {self.device}{f' ({self.why})' if self.why else ''}"


def take(wanted: str, python: str = sys.executable) -> Taken:
    """Return the device for "auto": the first of mps, cuda and cpu that works with that interpreter.

    A device that is named is taken as it is. MPS is tried in a process of its own, because on some
    machines it is offered and dead. Takes as long as an import of torch where there may be a GPU.
    """
    if wanted != "auto":
        return Taken(wanted)
    if platform.system() == "Darwin":
        found = probe.probe(python)
        if found.state == probe.USABLE:
            return Taken("mps", "MPS works here")
        return Taken("cpu", f"MPS is not usable: {found.reason}")
    if shutil.which("nvidia-smi") is None:
        return Taken("cpu", "no Mac, and no NVIDIA GPU")
    try:
        answer = ask_python.ask([python, "-c", _CUDA], seconds=60)
    except NoAnswerError:
        return Taken("cpu", "CUDA could not be asked")
    usable = answer.strip() == "True"
    return Taken(*(("cuda", "CUDA works here") if usable else ("cpu", "torch finds no CUDA GPU")))
