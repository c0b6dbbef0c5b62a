"""The command `metalassay loader`: find the best number of DataLoader workers."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from metalassay.cli import option_types

if TYPE_CHECKING:
    from metalassay.workers.dataloader import Setting


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Time a DataLoader without workers, with one worker and with more, and with tensors loaded"
        " beforehand, on light curves in memory or on a Dataset of yours. The time to start the workers"
        " counts. Workers are spawned, as on macOS."
    )
    parser.epilog = """\
examples:
  metalassay loader                              64 samples per batch, 10 passes
  metalassay loader --batch-size 8 --epochs 1    a short run, where start-up counts most
  metalassay loader my.py:dataset                your Dataset, or a class or function that makes it

exit code: 0 a setting is recommended, 1 none worked, 2 bad input"""
    parser.add_argument(
        "dataset",
        nargs="?",
        default="",
        metavar="FILE:NAME",
        help="a Dataset of yours, in a Python file (default: light curves)",
    )
    parser.add_argument(
        "--batch-size", type=option_types.count, default=64, metavar="N", help="samples per batch"
    )
    parser.add_argument(
        "--samples",
        type=option_types.count,
        metavar="N",
        help="samples per pass over the data (default: 5000; of your Dataset all)",
    )
    parser.add_argument(
        "--epochs",
        type=option_types.count,
        default=10,
        metavar="N",
        help="recommend for a training of this many passes over the data",
    )
    parser.add_argument(
        "--timeout",
        type=option_types.positive,
        default=60,
        metavar="SECONDS",
        help="give up on a setting after this time",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print the answer only, without progress"
    )
    parser.add_argument("--json", action="store_true", help="print every setting as JSON")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.environment import extras
    from metalassay.workers import dataloader

    extras.require("loader", "bench", "numpy", "torch")
    mine = dataloader.data(options.dataset) if options.dataset else None
    samples = options.samples or 5000
    if mine is not None:
        samples = dataloader.length(mine, options.samples or 0, options.timeout)

    def measure(workers: int) -> Setting:
        setting = dataloader.measure(
            workers, batch=options.batch_size, samples=samples, timeout=options.timeout, of=mine
        )
        outcome = (
            setting.why or f"{setting.per_second:,.0f} samples/s after {setting.start_up:.2f} s"
        )
        if not options.quiet:
            print(f"{setting.name}: {outcome}", file=sys.stderr, flush=True)
        return setting

    settings, best = dataloader.tune(
        options.batch_size, samples, options.epochs, measure_setting=measure
    )
    total = samples * options.epochs
    if options.json:
        document = {
            "settings": [dataclasses.asdict(setting) for setting in settings],
            "recommended": best and best.workers,
            "samples": total,
        }
        print(json.dumps(document, indent=1))
    elif best is None:
        print("none of the settings worked")
    else:
        print(f"for {total:,} samples: {best.name} ({best.seconds(total):.1f} s in all)")
    return 0 if best else 1
