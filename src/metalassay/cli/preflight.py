"""The command `metalassay preflight`: predict on the CPU what would fail on MPS."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from metalassay.cli import option_types
from metalassay.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.usage = "metalassay preflight [options] -- python train.py ARGS | module:function"
    parser.description = (
        "Run your own program here, on the CPU, and record the operators of its forward and backward"
        " passes and of its optimizer, in its threads and in Python processes that it starts. Then list,"
        " for every torch version, which of them would fail on MPS or fall back to the CPU, from which"
        " line, which upgrade fixes it, and what a fallback copies; and calls for CUDA that a Mac accepts"
        " and that do nothing there. Needs no Mac; the program needs torch in its own Python."
    )
    parser.epilog = """\
examples:
  metalassay preflight -- python train.py --epochs 1
  metalassay preflight --seconds 60 --torch 2.5 -- python -m package.train
  metalassay preflight package.train:main
  pytest --mps-preflight                       the same for your tests

exit code: 0 every operator has a kernel, 1 some have none or refuse a call, 2 bad input, or the program failed (what it
ran until then is shown)"""
    parser.add_argument("program", nargs="*", metavar="PROGRAM", help="the program to run")
    parser.add_argument(
        "--torch", metavar="VERSION", help="judge for this torch (default: the one that ran)"
    )
    parser.add_argument(
        "--seconds",
        type=option_types.number(least=0),
        default=0,
        metavar="SECONDS",
        help="stop the program after this time (default: let it end)",
    )
    parser.add_argument(
        "--places",
        type=option_types.count,
        default=3,
        metavar="N",
        help="lines of your program to show per operator",
    )
    parser.add_argument(
        "--save",
        type=option_types.path,
        metavar="FILE",
        help="save the recorded operators to a file",
    )
    parser.add_argument(
        "--trace",
        type=option_types.path,
        metavar="FILE",
        help="judge a saved recording instead of running; - is standard input",
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.files import check_writable, read_bytes, write_or_error
    from metalassay.mps.operators import oracle
    from metalassay.mps.preflight import predict, run, text

    if bool(options.trace) == bool(options.program):
        raise UserError(
            "name a program to run, or a saved recording with --trace",
            "metalassay preflight -- python train.py",
        )
    if options.torch:
        oracle.load(options.torch)  # report a bad version before a long run, not after it
    another = "name another file with --save"
    if options.save:
        check_writable(options.save, another)
    code = 0
    if options.trace:
        content = read_bytes(
            options.trace,
            "name a recording that --save wrote: metalassay preflight --trace FILE",
            or_stdin=True,
        )
        trace = predict.parse(content, str(options.trace))
    else:
        trace, code = run.trace(options.program, options.seconds)
    unsaved = None
    if options.save:
        unsaved = write_or_error(options.save, json.dumps(trace), another)
    prediction = predict.judge(trace)
    if not prediction.calls:
        raise UserError(
            f"no operator was recorded{': ' + prediction.ended if prediction.ended else ''}",
            "run something that computes with torch",
        )
    version = oracle.load(options.torch or trace["torch"]).torch
    if options.json:
        answer = {"schema": "metalassay.preflight/1", "judged_for": version, **asdict(prediction)}
        print(json.dumps(answer, indent=1))
    else:
        print(text.as_text(prediction, version, options.places))
    if unsaved is not None:
        raise unsaved
    if code:
        print(f"metalassay: {trace['ended'] or 'the program failed'}", file=sys.stderr)
        return 2
    failing = any(version in finding.states for finding in prediction.findings)
    return 1 if prediction.wide or failing or prediction.refused(version) else 0
