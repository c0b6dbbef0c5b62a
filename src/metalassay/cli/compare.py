"""The command ``compare``: its arguments, and what it prints."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from metalassay.cli import option_types

if TYPE_CHECKING:
    from metalassay.compare.sampling import Progress

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_CODES = {"same": 0, "faster": 0, "slower": 1, "inconclusive": 3}


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compare",
        help="whether B is slower than A, live, with an interval",
        description=(
            "Run A and B in turns, in processes side by side with a second A as control, until it is"
            " known whether B is slower, faster or the same, or the budget is spent."
        ),
        epilog=(
            "examples:\n"
            "  metalassay compare transit-cnn:train transit-cnn:train:malloc=tuned\n"
            "  metalassay compare bench.py::old bench.py::new\n"
            "  metalassay compare .venv-a .venv-b --of gpt-tiny:train\n"
            "  metalassay compare v1.2 HEAD --of bench.py::step\n"
            "\n"
            "A function either does the work itself or returns a function that does.\n"
            "Ratios are times of B over times of A: +3 % is slower.\n"
            "\n"
            "exit code: 0 same or faster, 1 slower, 2 bad input, 3 inconclusive, 130 interrupted"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("a", metavar="A", help="a workload, a function; or see --of")
    parser.add_argument("b", metavar="B", help="what is compared with it")
    parser.add_argument(
        "--of", metavar="WHAT", help="what to run, where A and B are environments or git revisions"
    )
    parser.add_argument(
        "--budget",
        type=option_types.positive,
        default=60,
        metavar="S",
        help="seconds (default: 60)",
    )
    parser.add_argument(
        "--margin",
        type=option_types.positive,
        default=1,
        metavar="PCT",
        help="what counts as the same (1 %%)",
    )
    parser.add_argument(
        "--family",
        type=option_types.count,
        default=1,
        metavar="N",
        help="comparisons asked for together",
    )
    parser.add_argument("--clock", choices=("auto", "cpu", "wall"), default="auto")
    parser.add_argument("--fresh", action="store_true", help="start every process, fork none")
    parser.add_argument(
        "--seed", type=option_types.seed, default=0, help="of the order of the arms"
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the run, or continue it")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.set_defaults(command=_compare)


def _compare(options: argparse.Namespace) -> int:
    from metalassay import compare
    from metalassay.compare import text

    live = sys.stderr.isatty()

    def progress(step: Progress) -> None:
        end = "\x1b[K\r" if live else "\n"
        print(text.line(step), end=end, file=sys.stderr, flush=True)

    found = compare.compare(
        options.a,
        options.b,
        of=options.of,
        budget=options.budget,
        margin=options.margin / 100,
        family=options.family,
        clock=options.clock,
        fresh=options.fresh,
        seed=options.seed,
        save=options.save,
        progress=progress,
    )
    print(json.dumps(found.as_dict(), indent=1) if options.json else found)
    return 130 if found.interrupted else _CODES[found.verdict]
