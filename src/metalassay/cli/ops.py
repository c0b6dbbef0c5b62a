"""The command `metalassay ops`: show which operators run on MPS, by torch version."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from metalassay.errors import UserError

if TYPE_CHECKING:
    from metalassay.mps.operators.advice import Library


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Show which aten operators have a kernel in the MPS backend of a torch version. The answers"
        " are read from PyTorch's macOS wheels; needs no torch and no Mac."
    )
    parser.epilog = """\
examples:
  metalassay ops aten::linalg_qr              since which torch, and what was before
  metalassay ops torchvision::nms             whose it is, and what to do
  metalassay ops --diff 2.5 2.13              what an upgrade changes
  metalassay ops --list cpu-only --torch 2.13 what fails there, one per line

exit code: 0 answered, 2 bad input"""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "operator", nargs="?", metavar="OP", help="show an operator, or one overload of it"
    )
    what.add_argument("--diff", nargs=2, metavar=("A", "B"), help="compare two torch versions")
    what.add_argument(
        "--list",
        choices=("kernel", "composite", "fallback", "missing", "cpu-only", "sparse"),
        metavar="STATE",
        help="list every operator in a state: kernel, composite, fallback, missing, cpu-only (missing,"
        " but the CPU has a kernel) or sparse",
    )
    parser.add_argument(
        "--torch",
        metavar="VERSION",
        help="the torch for --list (default: the installed one, or the newest)",
    )
    parser.add_argument(
        "--dtype",
        metavar="DTYPE",
        help="with OP: in which torch PyTorch's own tests expect it to fail with this dtype (int64)",
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def _library(operator: str) -> Library | None:
    """Return whose operator it is, or None for one of torch's own, which have no :: or aten:: before it."""
    from metalassay.mps.operators import advice

    namespace, _, name = operator.rpartition("::")
    if namespace in ("", "aten"):
        return None
    library = advice.for_library(namespace, name)
    if library is None:
        raise UserError(
            f"{operator} is an operator of another library, which we do not know",
            "ask that library whether it has a kernel for MPS",
        )
    return library


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.environment import versions
    from metalassay.mps.operators import advice, dtypes, history, oracle

    if options.torch and not options.list:
        raise UserError("--torch goes with --list", "metalassay ops --list missing --torch 2.13")
    if options.dtype and (not options.operator or "::" in options.operator.removeprefix("aten::")):
        raise UserError(
            "--dtype goes with an operator of torch", "metalassay ops linear --dtype int64"
        )
    width = min(shutil.get_terminal_size().columns, 100)
    if options.list:
        torch = options.torch or versions.installed(("torch",)).get("torch", oracle.versions()[-1])
        names, read = history.listed(options.list, torch), oracle.load(torch).torch
        answer: dict[str, Any] = {"torch": read, "list": options.list, "overloads": names}
        text = "\n".join(names)
        print(f"{options.list} in torch {read}: {len(names)}", file=sys.stderr)
    elif options.diff:
        before, after = options.diff
        changes = history.changes(before, after)
        answer = {
            "before": oracle.load(before).torch,
            "after": oracle.load(after).torch,
            "changes": [asdict(change) for change in changes],
        }
        text = history.changes_text(before, after, changes, width)
    elif library := _library(options.operator):
        answer, text = {"library": asdict(library)}, advice.library_text(library, width)
    else:
        histories = history.histories(options.operator)
        notes = advice.notes([each.overload for each in histories])
        answer = {"overloads": [asdict(overload) for overload in histories], "notes": notes}
        if options.dtype:
            refused = dtypes.answers(options.operator, options.dtype)
            answer["dtype"] = {"dtype": options.dtype, "refused": refused}
            nothing = (
                f"no list of PyTorch's from {dtypes.versions()[0]} to {dtypes.versions()[-1]} shows that a"
                f" kernel of this operator refuses {options.dtype}"
            )
            notes = (*notes, *(refused or (nothing,)))
        text = "\n".join(
            [
                history.history_text(histories),
                *("\n" + advice.wrapped(note, width) for note in notes),
            ]
        )
    print(json.dumps(answer, indent=1) if options.json else text)
    return 0
