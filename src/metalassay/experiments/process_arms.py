"""Arms that are programs: what a variable of the environment does is seen only in a process that starts with it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import psutil
import torch

from metalassay import minder
from metalassay.errors import UserError
from metalassay.experiments.rounds import Arm, Builders, Figures
from metalassay.machine import hardware
from metalassay.measure import device as devices

ONE_VECLIB = "VECLIB_MAXIMUM_THREADS=1"
BATCH, PRODUCT = 64, 1024
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS")
GUIDE_000 = {
    "PYTORCH_MPS_HIGH_WATERMARK_RATIO": "0.0",
    **dict.fromkeys(_THREADS, str(os.cpu_count())),
    "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:128",
    "HF_HUB_CACHE_SIZE": "2GB",
    "MALLOC_ARENA_MAX": "4",
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "true",
}
"""What guide 000 exports on a Mac with 16 GB or more, as far as it applies while training."""
GUIDE_001 = {
    "PYTORCH_ENABLE_MPS_FALLBACK": "1",
    "PYTORCH_MPS_HIGH_WATERMARK_RATIO": "0.0",
    "OMP_NUM_THREADS": "4",
    "TOKENIZERS_PARALLELISM": "false",
}
"""What guide 001 exports (lines 57 to 60)."""
_SECONDS = 600  # for a program to end: one that hangs must not hold up the rest


def program(
    device: torch.device,
    variables: Mapping[str, str],
    *,
    before: str = "nothing",
    product: int = 0,
) -> dict[str, Any]:
    """Start ``start_child`` with these variables, and none other of the guides'; return what it printed.

    Adds "ready": the seconds from the start of the process to the end of the first step. Raises ``UserError``
    for a program that fails or hangs.
    """
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in GUIDE_000 and name not in GUIDE_001 and name != "PYTHONDONTWRITEBYTECODE"
    }
    wanted = {
        "device": device.type,
        "emulated": devices.emulated(device),
        "before": before,
        "batch": BATCH,
        "product": product,
    }
    command = [sys.executable, "-P", "-m", "metalassay.experiments.start_child", json.dumps(wanted)]
    minder.prepare()  # not within what is timed
    started = time.time()
    child = minder.start(
        command,
        env={**clean, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    with child, minder.forgetting(child.pid):
        try:
            printed, complaint = child.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise UserError(
                f"a program of the experiment did not end within {_SECONDS} s",
                "close other programs and run the same command again",
            ) from None
        finally:
            if child.poll() is None:
                child.kill()
    if child.returncode:
        last = (complaint.strip() or "without a message").splitlines()[-1]
        raise UserError(
            f"a program of the experiment ended with {child.returncode}: {last}",
            "metalassay doctor",
        )
    result: dict[str, Any] = json.loads(printed.splitlines()[-1])
    result["ready"] -= started
    return result


def starting(device: torch.device, variables: Mapping[str, str]) -> Arm:
    """Return an arm that starts a program twice: without compiled bytecode, as after an installation, and with it.

    The system's own cache of files stays as it is: only an administrator can empty it.
    """

    def arm() -> Figures:
        with tempfile.TemporaryDirectory(prefix="metalassay-bytecode-") as empty:
            own = {**variables, "PYTHONPYCACHEPREFIX": empty}
            first = program(device, own)
            later = program(device, own)
        return {
            "seconds to the first step, first start": first["ready"],
            "seconds to the first step, later start": later["ready"],
            "milliseconds a step": later["step"] * 1e3,
            "CPU use of all cores": later["cpu"] / (psutil.cpu_count() or 1),
            "MB at most": later["peak"] / 1e6,
        }

    return arm


def environment(device: torch.device) -> Builders:
    """What do the variables of guides 000 and 001 change?"""
    sets: dict[str, Mapping[str, str]] = {
        "no variables": {},
        "guide 000": GUIDE_000,
        "guide 001": GUIDE_001,
    }
    return {
        name: lambda variables=variables: starting(device, variables)  # type: ignore[misc]
        for name, variables in sets.items()
    }


def threads(device: torch.device) -> Builders:
    """How many CPU threads are fastest, set before the start, for torch and for Apple's libraries?"""

    def of(number: int, **others: str) -> Arm:
        limits = {**dict.fromkeys(_THREADS, str(number)), **others}

        def arm() -> Figures:
            ran = program(torch.device("cpu"), limits, product=PRODUCT)
            return {
                "milliseconds a step": ran["step"] * 1e3,
                "milliseconds a product": ran["product"] * 1e3,
            }

        return arm

    machine = hardware.probe(gpu_too=False)
    every = os.cpu_count() or 1
    fast = machine.performance_cores or machine.physical_cores or every
    wanted = {"performance cores": fast, "all cores": every, "4 threads": 4, "1 thread": 1}
    # Two names of one number would be the same arm; the base stays, whatever else has its number.
    told = {
        name: number
        for place, (name, number) in enumerate(wanted.items())
        if number not in list(wanted.values())[:place]
    }
    arms: dict[str, Callable[[], Arm]] = {
        name: functools.partial(of, number) for name, number in told.items()
    }
    # Of Apple's library alone: whether it reads the variable.
    return {**arms, ONE_VECLIB: functools.partial(of, fast, VECLIB_MAXIMUM_THREADS="1")}


def warm_up(device: torch.device) -> Builders:
    """Does one zero on the device warm it up as a training step does?"""
    if device.type == "cpu":
        raise UserError("the CPU needs no such warm-up", "run it where MPS is usable")

    def after(before: str) -> Arm:
        return lambda: {
            "milliseconds of the first step": program(device, {}, before=before)["first"] * 1e3
        }

    return {
        "one zero before": lambda: after("zero"),
        "nothing before": lambda: after("nothing"),
        "one step before": lambda: after("step"),
    }
