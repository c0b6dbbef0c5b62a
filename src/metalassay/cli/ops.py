"""The command ``ops``: its arguments, and what it prints."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from metalassay.errors import UserError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "ops",
        help="which operators have a kernel on MPS, by torch version",
        description=(
            "Say which aten operators the MPS backend of a torch version has a kernel for, read from"
            " PyTorch's macOS wheels. Needs no torch and no Mac."
        ),
        epilog=(
            "examples:\n"
            "  metalassay ops aten::linalg_qr              since which torch, and what was before\n"
            "  metalassay ops --diff 2.5 2.13              what an upgrade changes\n"
            "  metalassay ops --list cpu-only --torch 2.13 what fails there, one a line\n"
            "\n"
            "exit code: 0 answered, 2 bad input"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("operator", nargs="?", metavar="OP", help="an operator, or one overload")
    what.add_argument("--diff", nargs=2, metavar=("A", "B"), help="compare two torch versions")
    what.add_argument(
        "--list",
        choices=("kernel", "composite", "fallback", "missing", "cpu-only", "sparse"),
        help="list one state; cpu-only: missing, but the CPU has a kernel",
    )
    parser.add_argument(
        "--torch", metavar="VERSION", help="for --list (default: what is installed, or the newest)"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.set_defaults(command=_ops)


def _ops(options: argparse.Namespace) -> int:
    from metalassay.environment import versions
    from metalassay.mps.operators import history, oracle

    if options.torch and not options.list:
        raise UserError("--torch goes with --list", "metalassay ops --list missing --torch 2.13")
    if options.list:
        torch = options.torch or versions.installed(("torch",)).get("torch", oracle.versions()[-1])
        names, read = history.listed(options.list, torch), oracle.load(torch).torch
        answer: dict[str, Any] = {"torch": read, "list": options.list, "overloads": names}
        text = "\n".join(names)
        print(f"{options.list} in torch {read}: {len(names)}", file=sys.stderr)
    elif options.diff:
        before, after = options.diff
        found = history.changes(before, after)
        answer = {
            "before": oracle.load(before).torch,
            "after": oracle.load(after).torch,
            "changes": [asdict(each) for each in found],
        }
        width = min(shutil.get_terminal_size().columns, 100)
        text = history.changes_text(before, after, found, width)
    else:
        histories = history.histories(options.operator)
        answer = {"overloads": [asdict(each) for each in histories]}
        text = history.history_text(histories)
    print(json.dumps(answer, indent=1) if options.json else text)
    return 0
