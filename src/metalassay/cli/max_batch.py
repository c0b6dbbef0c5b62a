"""The command `metalassay max-batch`: find the largest batch that fits into memory."""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from metalassay.cli import option_types
from metalassay.errors import UserError
from metalassay.files import check_writable, write_or_error

if TYPE_CHECKING:
    from metalassay.workers.max_batch import Found, Try
    from metalassay.workers.specs import Spec


_ANOTHER = "name another folder with --save"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Double the batch until it no longer fits, then bisect. Each try runs in a process of its own"
        " and ends before less than a tenth of the memory is left."
    )
    parser.epilog = """\
examples:
  metalassay max-batch transit-cnn:train                   on the GPU, if it works
  metalassay max-batch gpt-original:infer:device=mps --most 4096
  metalassay max-batch transit-cnn:train:device=mps --save    for the report
  metalassay max-batch my.py                               your model; see init-step

exit code: 0 found, 1 not even a batch of 1 fits, 2 bad input"""
    parser.add_argument(
        "workload",
        metavar="WORKLOAD",
        help="a workload or a file of yours as in compare, without batch=",
    )
    parser.add_argument(
        "--device",
        choices=option_types.DEVICES,
        default="auto",
        help="unless WORKLOAD has device=; auto is the first that works of mps, cuda and cpu",
    )
    parser.add_argument(
        "--most",
        type=option_types.count,
        default=2**20,
        metavar="N",
        help="stop at a batch of this size, even if it fits",
    )
    parser.add_argument(
        "--start",
        type=option_types.count,
        default=1,
        metavar="N",
        help="start with a batch of this size",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print the answer only, without progress"
    )
    parser.add_argument("--json", action="store_true", help="print every try as JSON")
    parser.add_argument(
        "--save",
        nargs="?",
        type=option_types.path,
        const=Path("reports"),
        metavar="DIR",
        help="write a file for `metalassay report` to DIR/maxbatch (reports if DIR is left out)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.environment import extras
    from metalassay.workers import devices, max_batch, specs

    spec = specs.parse(options.workload)
    if spec.kind == "function":
        raise UserError(
            "max-batch needs something whose batch can grow: a workload, or a file with make(batch_size)",
            "metalassay init-step my.py, then metalassay max-batch my.py",
        )
    if spec.kind == "model" and options.save:
        raise UserError(
            "--save is for the report, which knows our workloads only",
            "leave it out, or use --json",
        )
    if options.most < options.start:
        raise UserError(
            f"--start {options.start} is above --most {options.most}",
            f"metalassay max-batch {options.workload} --most {options.start}",
        )

    extras.require("max-batch", "bench", "numpy", "torch")
    if specs.parse(options.workload, "mps").device != spec.device:  # the text names none
        taken = devices.take(options.device)
        spec = dataclasses.replace(spec, device=taken.device)
        if not options.quiet:
            print(taken, file=sys.stderr, flush=True)

    def attempt(batch: int) -> Try:
        tried = max_batch.attempt(spec, batch)
        peak = f", peak {tried.peak_rss / 2**20:,.0f} MB" if tried.peak_rss else ""
        if tried.driver_seen:
            peak += f" resident, {tried.driver_seen / 2**20:,.0f} MB of the device's driver after a step"
        outcome = f"fits{peak}" if tried.fits else f"does not fit: {tried.why}"
        if not options.quiet:
            print(f"batch {batch}: {outcome}", file=sys.stderr, flush=True)
        return tried

    started, clock = datetime.now(UTC), time.monotonic()
    if options.save:
        check_writable(_path(options.save, spec, started), _ANOTHER)
    largest = max_batch.search(attempt, most=options.most, start=options.start)
    unsaved = None
    if options.save:
        path = _path(options.save, spec, started)
        text = _document(spec, largest, started, time.monotonic() - clock)
        unsaved = write_or_error(path, text, _ANOTHER)
        if unsaved is None:
            print(path, file=sys.stderr)
    if options.json:
        print(json.dumps({"device": spec.device, **dataclasses.asdict(largest)}, indent=1))
    elif largest.limit is None:
        print(f"largest batch on {spec.device}: {largest.largest} or more (--most stops there)")
    else:
        print(f"largest batch on {spec.device}: {largest.largest}; {largest.limit} does not fit")
    if unsaved is not None:
        raise unsaved
    return 0 if largest.largest else 1


def _path(folder: Path, spec: Spec, started: datetime) -> Path:
    name = f"{spec.name}-{spec.mode}-{spec.device}-{spec.dtype}-{started:%Y%m%dT%H%M%SZ}.json"
    return folder / "maxbatch" / name


def _document(spec: Spec, largest: Found, started: datetime, seconds: float) -> str:
    """Return what was found, with the machine and the versions."""
    from metalassay.environment import versions
    from metalassay.machine import hardware
    from metalassay.results import max_batch_file

    document = max_batch_file.document(
        workload=spec.name,
        mode=spec.mode,
        device=spec.device,
        dtype=spec.dtype,
        threads=spec.threads,
        malloc=spec.malloc,
        # The emulated device exists on Linux alone.
        emulated=spec.device == "mps" and platform.system() != "Darwin",
        tries=max_batch_file.as_tries(largest.tries),
        started=started.isoformat(timespec="seconds"),
        seconds=seconds,
        versions=versions.installed(),
        machine=hardware.probe(),
    )
    return json.dumps(document, indent=1) + "\n"
