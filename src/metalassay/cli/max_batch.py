"""The command ``max-batch``: its arguments, and what it prints."""

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

if TYPE_CHECKING:
    from metalassay.workers.max_batch import Found, Try
    from metalassay.workers.specs import Spec

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "max-batch",
        help="the largest batch that fits into this machine's memory",
        description=(
            "Double the batch until it no longer fits, then bisect; each try is a process of its own."
            " A try ends before less than a tenth of the memory is left."
        ),
        epilog=(
            "examples:\n"
            "  metalassay max-batch transit-cnn:train\n"
            "  metalassay max-batch gpt-original:infer:device=mps --most 4096\n"
            "  metalassay max-batch transit-cnn:train:device=mps --save    for the report\n"
            "\n"
            "exit code: 0 found, 1 not even a batch of 1 fits, 2 bad input"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workload", metavar="WORKLOAD", help="as for compare, without batch=")
    parser.add_argument(
        "--most", type=option_types.count, default=2**20, metavar="N", help="where to stop"
    )
    parser.add_argument(
        "--start", type=option_types.count, default=1, metavar="N", help="the first batch to try"
    )
    parser.add_argument("--json", action="store_true", help="print all tries as JSON")
    parser.add_argument(
        "--save",
        nargs="?",
        type=Path,
        const=Path("reports"),
        metavar="DIR",
        help="leave a file for `metalassay report` in DIR/maxbatch (DIR: reports)",
    )
    parser.set_defaults(command=_max_batch)


def _max_batch(options: argparse.Namespace) -> int:
    from metalassay.errors import UserError
    from metalassay.workers import max_batch, specs

    spec = specs.parse(options.workload)
    if spec.kind != "workload":
        raise UserError("max-batch needs one of our workloads", "metalassay max-batch transit-cnn")
    if options.most < options.start:
        raise UserError("--start and --most are out of order", "leave them as they are")

    def attempt(batch: int) -> Try:
        tried = max_batch.attempt(spec, batch)
        peak = f", peak {tried.peak_rss / 2**20:,.0f} MB" if tried.peak_rss else ""
        said = f"fits{peak}" if tried.fits else f"does not fit: {tried.why}"
        print(f"batch {batch}: {said}", file=sys.stderr, flush=True)
        return tried

    started, clock = datetime.now(UTC), time.monotonic()
    found = max_batch.search(attempt, most=options.most, start=options.start)
    if options.save:
        print(_save(options.save, spec, found, started, time.monotonic() - clock), file=sys.stderr)
    if options.json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
    elif found.limit is None:
        print(f"largest batch: {found.largest} or more (as many as were asked for)")
    else:
        print(f"largest batch: {found.largest}; {found.limit} does not fit")
    return 0 if found.largest else 1


def _save(folder: Path, spec: Spec, found: Found, started: datetime, seconds: float) -> Path:
    """Write what was found, with the machine and the versions, and return the file."""
    from metalassay.environment import versions
    from metalassay.errors import UserError
    from metalassay.files import write_atomically
    from metalassay.machine import hardware
    from metalassay.results import max_batch_file

    name = f"{spec.name}-{spec.mode}-{spec.device}-{spec.dtype}-{started:%Y%m%dT%H%M%SZ}.json"
    path = folder / "maxbatch" / name
    document = max_batch_file.document(
        workload=spec.name,
        mode=spec.mode,
        device=spec.device,
        dtype=spec.dtype,
        threads=spec.threads,
        malloc=spec.malloc,
        # The emulated device exists on Linux alone.
        emulated=spec.device == "mps" and platform.system() != "Darwin",
        tries=max_batch_file.as_tries(found.tries),
        started=started.isoformat(timespec="seconds"),
        seconds=seconds,
        versions=versions.installed(),
        machine=hardware.probe(),
    )
    try:
        write_atomically(path, json.dumps(document, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "name another --save") from None
    return path
