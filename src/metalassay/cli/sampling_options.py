"""Options that ``generate`` and ``evaluate`` share: how the next token is chosen."""

from __future__ import annotations

import argparse

from metalassay.cli import option_types


def add(parser: argparse.ArgumentParser) -> None:
    """Add ``RUN``, the sampling options, and ``--json``."""
    parser.add_argument(
        "run", type=option_types.folder, metavar="RUN", help="the --output folder of `train gpt`"
    )
    group = parser.add_argument_group("sampling")
    group.add_argument(
        "--temperature",
        type=option_types.number(least=0),
        default=0.5,
        metavar="T",
        help="higher is more varied; 0 always takes the likeliest token",
    )
    group.add_argument(
        "--top-k",
        type=option_types.count_or_none,
        default=40,
        metavar="K",
        help="choose among this many tokens; 0 is no limit",
    )
    group.add_argument(
        "--top-p",
        type=option_types.number(above=0, most=1),
        default=1.0,
        metavar="P",
        help="choose among the likeliest tokens of this total probability",
    )
    group.add_argument(
        "--seed", type=option_types.seed, default=0, metavar="N", help="seed of the choice"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
