"""Choose the batch size of a training: double it, each try in a process of its own, while that pays."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from metalassay import minder
from metalassay.environment import extras
from metalassay.errors import UserError
from metalassay.supervise.machine_load import pressure
from metalassay.workers import max_batch

ENOUGH = 0.9  # of the fastest speed: the smallest batch that has it is chosen
GAIN = 1.1  # a doubling that gains less than this does not pay; after two of them the search ends
SLOWEST = 10.0  # seconds of a step
LARGEST = 4096
CURVES_PER_BATCH = 32  # light curves for each of a batch, so that a pass has some twenty batches
_LOOK_EVERY = 0.1  # seconds


@dataclass(frozen=True)
class Try:
    """A batch size, its speed in the unit of the training, None if it did not fit, and why not."""

    batch: int
    speed: float | None
    seconds: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class Choice:
    """The batch size that was chosen, and why, as the end of a sentence."""

    batch: int
    why: str


def choose(
    attempt: Callable[[int], Try], parts: int, largest: int, show: Callable[[Try], None]
) -> Choice:
    """Double the batch from ``parts`` up to ``largest`` and choose; a batch is a multiple of ``parts``.

    Raises ``UserError`` if not even the first fits.
    """
    tries: list[Try] = []
    batch, useless, end = parts, 0, f"larger ones than {largest} are not tried"
    while batch <= largest or not tries:
        tried = attempt(batch)
        show(tried)
        if tried.speed is None:
            end = f"{batch} does not fit: {tried.why}"
            break
        best = max((each.speed or 0.0 for each in tries), default=0.0)
        useless = useless + 1 if tries and tried.speed < GAIN * best else 0
        tries.append(tried)
        if useless == 2:
            end = f"doubling gained less than {GAIN - 1:.0%} twice"
            break
        if tried.seconds > SLOWEST:
            end = f"a step of {batch} takes more than {SLOWEST:.0f} s"
            break
        batch *= 2
    if not tries:
        raise UserError(
            f"not even a batch of {batch} fits: {end.partition(': ')[2]}",
            "choose a smaller model, or more parts with --accumulate",
        )
    fastest = max(tries, key=lambda each: each.speed or 0.0)
    taken = next(each for each in tries if (each.speed or 0.0) >= ENOUGH * (fastest.speed or 0.0))
    if taken is fastest:
        return Choice(taken.batch, f"the fastest of {len(tries)}; {end}")
    share = (taken.speed or 0.0) / (fastest.speed or 1.0)
    return Choice(taken.batch, f"{share:.0%} of the speed of {fastest.batch}, the fastest; {end}")


def run(command: str, options: argparse.Namespace) -> Choice:
    """Choose the batch size for ``options`` of a command such as "train gpt"."""
    extras.require("train", "train", "torch")
    largest = LARGEST
    if command == "train transit":
        largest = max(min(LARGEST, options.curves // CURVES_PER_BATCH), options.accumulate)
    unit = "tokens" if command == "train gpt" else "curves"

    def show(tried: Try) -> None:
        outcome = f"does not fit: {tried.why}"
        if tried.speed is not None:
            outcome = f"{tried.speed:,.0f} {unit}/s, {tried.seconds * 1e3:,.0f} ms per step"
        print(f"batch size {tried.batch}: {outcome}", file=sys.stderr, flush=True)

    return choose(
        lambda batch: attempt(command, options, batch),
        options.accumulate,
        largest,
        (lambda tried: None) if options.progress == "quiet" else show,
    )


def attempt(command: str, options: argparse.Namespace, batch: int) -> Try:
    """Run a few steps of ``batch`` in a process of its own, which is ended if the memory gets short."""
    values = {name: value for name, value in vars(options).items() if not callable(value)}
    values |= {"command": command.replace("train", "try"), "batch_size": batch}
    argv = [sys.executable, "-P", "-m", "metalassay.training", json.dumps(values, default=str)]
    calm = pressure() in (None, "normal")
    pressed = False
    process = minder.start(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=os.name != "nt",
    )
    with minder.forgetting(process.pid):
        try:
            while True:
                try:
                    out, err = process.communicate(timeout=_LOOK_EVERY)
                    break
                except subprocess.TimeoutExpired:
                    if not pressed and max_batch.short_of_memory(calm=calm):
                        pressed = True
                        process.kill()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode < 0 or pressed:
        error = UserError("its process ended", "")
        return Try(batch, None, why=max_batch.reason(error, pressed=pressed))
    if process.returncode:
        lines = err.strip().splitlines() or [f"exit code {process.returncode}"]
        told = [line for line in lines if line.startswith("metalassay: ")] or lines[-1:]
        message = told[0].removeprefix("metalassay: ")
        error = UserError(f"batch {batch}: {message}", "give the number: --batch-size N")
        return Try(batch, None, why=max_batch.reason(error, pressed=False))
    found = json.loads(out)
    if not found["fits"]:
        return Try(batch, None, why=found["why"])
    return Try(batch, found["per_second"], found["seconds"])
