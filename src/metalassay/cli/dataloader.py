"""The command ``loader``: its arguments, and what it prints."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from metalassay.cli import option_types

if TYPE_CHECKING:
    from metalassay.workers.dataloader import Setting

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "loader",
        help="how many workers a DataLoader should have here, measured",
        description=(
            "Time a DataLoader with no, one and more workers, and tensors loaded beforehand, on light"
            " curves in memory; start-up counts. Workers are spawned, as on macOS."
        ),
        epilog="exit code: 0 a setting is recommended, 1 none worked, 2 bad input",
    )
    parser.add_argument(
        "--batch", type=option_types.count, default=64, metavar="N", help="default: 64"
    )
    parser.add_argument(
        "--samples", type=option_types.count, default=5000, metavar="N", help="a pass over the data"
    )
    parser.add_argument(
        "--epochs", type=option_types.count, default=10, metavar="N", help="passes of the real run"
    )
    parser.add_argument(
        "--timeout", type=option_types.positive, default=60, metavar="S", help="for each setting"
    )
    parser.add_argument("--json", action="store_true", help="print all settings as JSON")
    parser.set_defaults(command=_loader)


def _loader(options: argparse.Namespace) -> int:
    from metalassay.workers import dataloader

    def each(workers: int) -> Setting:
        found = dataloader.measure(
            workers, batch=options.batch, samples=options.samples, timeout=options.timeout
        )
        said = found.why or f"{found.per_second:,.0f} samples/s after {found.start_up:.2f} s"
        print(f"{found.name}: {said}", file=sys.stderr, flush=True)
        return found

    settings, best = dataloader.tune(options.batch, options.samples, options.epochs, each=each)
    total = options.samples * options.epochs
    if options.json:
        document = {
            "settings": [dataclasses.asdict(each) for each in settings],
            "recommended": best and best.workers,
            "samples": total,
        }
        print(json.dumps(document, indent=1))
    elif best is None:
        print("none of the settings worked")
    else:
        print(f"for {total:,} samples: {best.name} ({best.seconds(total):.1f} s in all)")
    return 0 if best else 1
