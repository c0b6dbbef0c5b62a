"""The command ``preflight``: its arguments, and what it prints."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from metalassay.cli import option_types
from metalassay.errors import UserError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "preflight",
        help="run your program on the CPU, and say what it would meet on MPS",
        usage="metalassay preflight [options] -- python train.py ARGS | module:function",
        description=(
            "Run your own program here, on the CPU, record the operators of its forward and backward"
            " passes and of its optimizer, and say for every torch version which of them would fail"
            " on MPS or fall back to the CPU, from which line, and which upgrade fixes it. Needs no"
            " Mac; the program needs this Python's, or its own Python's, torch."
        ),
        epilog=(
            "examples:\n"
            "  metalassay preflight -- python train.py --epochs 1\n"
            "  metalassay preflight --seconds 60 --torch 2.5 -- python -m package.train\n"
            "  metalassay preflight package.train:main\n"
            "  pytest --mps-preflight                       what your tests run\n"
            "\n"
            "exit code: 0 every operator has a kernel, 1 some have none, 2 bad input, or the\n"
            "program failed (what it ran until then is shown)"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("program", nargs="*", metavar="PROGRAM", help="what to run")
    parser.add_argument(
        "--torch", metavar="VERSION", help="judge for this torch (default: the one that ran)"
    )
    parser.add_argument(
        "--seconds",
        type=option_types.number(least=0),
        default=0,
        metavar="S",
        help="stop the program after S seconds",
    )
    parser.add_argument(
        "--places",
        type=option_types.count,
        default=3,
        metavar="N",
        help="lines to show an operator (default: 3)",
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the trace")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="judge a kept trace again")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.set_defaults(command=_preflight)


def _preflight(options: argparse.Namespace) -> int:
    from metalassay.files import write_atomically
    from metalassay.mps.operators import oracle
    from metalassay.mps.preflight import predict, run, text

    if bool(options.trace) == bool(options.program):
        raise UserError(
            "give a program to run, or a kept trace", "metalassay preflight -- python train.py"
        )
    if options.torch:
        oracle.load(options.torch)  # a bad version is said before a long run, not after it
    code = 0
    if options.trace:
        try:
            content = options.trace.read_bytes()
        except OSError as error:
            raise UserError(
                f"cannot read {options.trace}: {error.strerror}", "--trace FILE"
            ) from None
        trace = predict.parse(content, str(options.trace))
    else:
        trace, code = run.trace(options.program, options.seconds)
    if options.save:
        write_atomically(options.save, json.dumps(trace))
    found = predict.judge(trace)
    if not found.calls:
        raise UserError(
            f"no operator was recorded{': ' + found.ended if found.ended else ''}",
            "run something that computes with torch in this process, in its main thread",
        )
    version = oracle.load(options.torch or trace["torch"]).torch
    if options.json:
        answer = {"schema": "metalassay.preflight/1", "judged_for": version, **asdict(found)}
        print(json.dumps(answer, indent=1))
    else:
        print(text.as_text(found, version, options.places))
    if code:
        print(f"metalassay: {trace['ended'] or 'the program failed'}", file=sys.stderr)
        return 2
    bad = found.wide or any(version in each.states for each in found.findings)
    return 1 if bad else 0
