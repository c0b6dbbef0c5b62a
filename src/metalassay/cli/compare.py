"""The command `metalassay compare`: measure whether B is slower than A."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from typing import TYPE_CHECKING

from metalassay.cli import option_types
from metalassay.errors import UserError

if TYPE_CHECKING:
    from metalassay.compare.sampling import Progress


_CODES = {"same": 0, "faster": 0, "slower": 1, "inconclusive": 3}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Run A and B interleaved, in processes side by side with a second A as control, until it is"
        " known whether B is slower, faster or the same, or until the time is up."
    )
    parser.epilog = """\
examples:
  metalassay compare transit-cnn:train transit-cnn:train:malloc=tuned
  metalassay compare bench.py::old bench.py::new
  metalassay compare .venv-a .venv-b --of gpt-tiny:train
  metalassay compare v1.2 HEAD --of bench.py::step

A function either does the work itself or returns a function that does. Ratios are times of B over times
of A: +3 % means that B is slower.

exit code: 0 same or faster, 1 slower, 2 bad input, 3 inconclusive, 130 interrupted"""
    parser.add_argument("a", metavar="A", help="a workload or a function; or see --of")
    parser.add_argument("b", metavar="B", help="what to compare with A")
    parser.add_argument(
        "--of", metavar="WHAT", help="run this, where A and B are environments or git revisions"
    )
    parser.add_argument(
        "--device",
        choices=option_types.DEVICES,
        default="auto",
        help="where a workload without device= runs; auto is the first that works of mps, cuda and cpu",
    )
    parser.add_argument(
        "--budget",
        type=option_types.positive,
        default=60,
        metavar="SECONDS",
        help="stop after this time, starts and warm-up included, even without an answer",
    )
    parser.add_argument(
        "--margin",
        type=option_types.positive,
        default=1,
        metavar="PERCENT",
        help="treat a smaller difference as none",
    )
    parser.add_argument(
        "--bound",
        type=option_types.positive,
        default=3,
        metavar="PERCENT",
        help="end as soon as differences of this size or more are excluded",
    )
    parser.add_argument(
        "--family",
        type=option_types.count,
        default=1,
        metavar="N",
        help="correct the error rate for this many comparisons made together",
    )
    parser.add_argument(
        "--clock",
        choices=("auto", "cpu", "wall"),
        default="auto",
        help="measure CPU time or wall time; auto chooses by device and threads",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="start each process from scratch instead of forking it"
    )
    parser.add_argument(
        "--seed",
        type=option_types.seed,
        default=0,
        metavar="N",
        help="seed for the order of A, A and B",
    )
    parser.add_argument(
        "--save",
        type=option_types.path,
        metavar="FILE",
        help="save the run, or continue a saved one",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print the answer only, without progress"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay import compare
    from metalassay.compare import result
    from metalassay.environment import extras

    if options.of is None and any("::" not in arm for arm in (options.a, options.b)):
        # Our workloads run in this environment; functions and other environments bring their own.
        extras.require("compare", "bench", "numpy", "torch")
    live = sys.stderr.isatty()

    def progress(step: Progress) -> None:
        if options.quiet:
            return
        end = "\x1b[K\r" if live else "\n"
        print(result.line(step), end=end, file=sys.stderr, flush=True)

    def too_short(budget: int) -> None:
        if not options.quiet:
            print(
                f"metalassay: the budget of {options.budget:g} s has no room for the first analysis;"
                f" --budget {budget} has",
                file=sys.stderr,
                flush=True,
            )

    comparison = compare.compare(
        options.a,
        options.b,
        of=options.of,
        device=options.device,
        budget=options.budget,
        margin=options.margin / 100,
        bound=options.bound / 100,
        family=options.family,
        clock=options.clock,
        fresh=options.fresh,
        seed=options.seed,
        save=options.save,
        progress=progress,
        too_short=too_short,
    )
    print(json.dumps(comparison.as_dict(), indent=1) if options.json else comparison)
    if comparison.more and not options.json:
        print(f"  next: {_command(options, comparison.more.budget)}")
    if comparison.unsaved:  # after the answer, which is not lost with the file
        raise UserError(
            f"cannot write {options.save}: {comparison.unsaved}",
            "choose another --save and run again",
        )
    return 130 if comparison.interrupted else _CODES[comparison.verdict]


def _command(options: argparse.Namespace, budget: int) -> str:
    """Return the command that measures the same with another budget; it continues a saved run."""
    words = ["metalassay", "compare", options.a, options.b, "--budget", str(budget)]
    for name, usual in _USUAL.items():
        if (value := getattr(options, name)) != usual:
            text = f"{value:g}" if isinstance(value, float) else str(value)
            words += [f"--{name}", text]
    return shlex.join([*words, *(["--fresh"] if options.fresh else [])])


_USUAL = {
    "of": None,
    "device": "auto",
    "margin": 1,
    "bound": 3,
    "family": 1,
    "clock": "auto",
    "seed": 0,
    "save": None,
}
