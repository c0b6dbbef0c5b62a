"""The command `metalassay ask`: five questions about the user's own model."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from metalassay.cli import option_types
from metalassay.errors import UserError
from metalassay.files import check_writable

QUESTIONS = ("devices", "numbers", "batch", "compile", "precision")
_SHARE = {"devices": 0.25, "numbers": 0.0, "batch": 0.3, "compile": 0.25, "precision": 0.2}
"""Of the budget, where all are asked; nothing is timed to compare numbers."""
_LONGEST = 600.0  # seconds that one question may take; torch.compile can take minutes


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Ask about a model of yours, on this machine: which device is faster and at which batch size;"
        " whether the device computes what the CPU computes, and if not, which operator is the first"
        " that does not; the largest batch; whether torch.compile helps; and what 16-bit numbers"
        " gain and cost. FILE defines make(batch_size) and may define loss(model, batch): see"
        " `metalassay init-step`."
    )
    parser.epilog = """\
examples:
  metalassay init-step my.py               a file to start from
  metalassay ask my.py
  metalassay ask my.py --only numbers      is MPS right, and where not
  metalassay ask my.py --only compile --batch-size 32 --json

A question that needs a GPU is "not on this machine" without one. Each runs in processes of its
own; nothing is downloaded unless your file does.

exit code: 0 answered, 1 the device computes something else than the CPU, 2 bad input, 130
interrupted"""
    parser.add_argument(
        "file", type=option_types.path, metavar="FILE", help="a Python file of yours"
    )
    parser.add_argument(
        "--only",
        choices=QUESTIONS,
        action="append",
        metavar="QUESTION",
        help="ask this only: devices, numbers, batch, compile or precision; repeatable (default: all)",
    )
    parser.add_argument(
        "--device",
        choices=option_types.DEVICES,
        default="auto",
        help="the device in question; auto is the first that works of mps, cuda and cpu",
    )
    parser.add_argument(
        "--batch-size",
        type=option_types.count,
        default=8,
        metavar="N",
        help="samples in a batch, where not several are tried",
    )
    parser.add_argument(
        "--budget",
        type=option_types.number(least=5),
        default=120,
        metavar="SECONDS",
        help="for timing and for the search for a batch, together; starts and compiling come on top",
    )
    parser.add_argument(
        "--most",
        type=option_types.count,
        default=4096,
        metavar="N",
        help="try no batch larger than this",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=option_types.path,
        default=Path("metalassay-ask"),
        metavar="DIR",
        help="folder for a program that shows a difference, if there is one",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print the answers only, without progress"
    )
    parser.add_argument("--json", action="store_true", help="print the answers as JSON")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.ask import answers
    from metalassay.environment import extras

    extras.require("ask", "train", "numpy", "safetensors", "torch")
    path: Path = options.file
    if path.suffix != ".py" or not path.is_file():
        raise UserError(f"{path} is no Python file", "metalassay init-step my.py writes one")
    questions = options.only or QUESTIONS
    another = "name another folder with --output"
    if "numbers" in questions:
        check_writable(options.output / "difference.py", another)
    facts: dict[str, Any] = {
        "file": str(path),
        "device": options.device,
        "batch_size": options.batch_size,
        "folder": str(options.output),
    }
    about = _ask({**facts, "question": "check"}, options)
    usable = [kind for kind, why in about["devices"].items() if not why]
    if options.device == "auto":
        facts["device"] = next(kind for kind in ("mps", "cuda", "cpu") if kind in usable)
    elif options.device not in usable:
        raise UserError(
            f"{options.device} cannot be used here: {about['devices'][options.device]}",
            "leave --device out, or ask metalassay doctor",
        )
    about["device"] = facts["device"]
    found: dict[str, Any] = {"schema": "metalassay.ask/1", "file": path.name, "about": about}
    if not options.json:
        print(answers.about(about, path.name, options.batch_size))
    for question in questions:
        found[question] = _one(question, facts, about, usable, options)
        if not options.json:
            print()
            print(answers.text(question, found[question], about), flush=True)
    if options.json:
        print(json.dumps(found, indent=1))
    numbers = found.get("numbers", {})
    if numbers.get("unwritten"):
        raise UserError(f"cannot write {options.output}: {numbers['unwritten']}", another)
    return 1 if numbers.get("right") is False else 0


def _one(
    question: str,
    facts: dict[str, Any],
    about: dict[str, Any],
    usable: list[str],
    options: argparse.Namespace,
) -> dict[str, Any]:
    if question == "numbers" and facts["device"] == "cpu":
        return {"not_here": "there is no GPU to compare with the CPU"}
    if question in ("devices", "compile") and about["emulated"].get(facts["device"]):
        return {
            "not_here": f"{facts['device']} is emulated on the CPU, and its times are meaningless"
        }
    asked = sum(_SHARE[each] for each in options.only or QUESTIONS) or 1.0
    budget = options.budget * _SHARE[question] / asked
    if question == "batch":
        return _batch(facts, budget, options)
    kinds = ["cpu", facts["device"]] if facts["device"] != "cpu" else ["cpu"]
    return _ask(
        {**facts, "question": question, "budget": budget, "kinds": kinds}, options, soft=True
    )


def _batch(facts: dict[str, Any], budget: float, options: argparse.Namespace) -> dict[str, Any]:
    """Search for the largest batch, each try in a process of its own."""
    import dataclasses

    from metalassay.workers import max_batch
    from metalassay.workers.specs import Spec

    spec = Spec("model", facts["file"], device=facts["device"])
    until = time.monotonic() + budget

    def attempt(batch: int) -> max_batch.Try:
        if time.monotonic() > until:
            raise _TimeUpError
        _progress(options, f"batch {batch}")
        tried = max_batch.attempt(spec, batch)
        tries.append(tried)
        return tried

    tries: list[max_batch.Try] = []
    limit, stopped = None, True
    try:
        search = max_batch.search(attempt, most=options.most)
        limit, stopped = search.limit, False
    except _TimeUpError:
        limit = min((each.batch for each in tries if not each.fits), default=None)
    except UserError as error:
        return {"error": error.message, "next_step": error.next_step}
    return {
        "largest": max((each.batch for each in tries if each.fits), default=0),
        "limit": limit,
        "stopped": stopped,
        "most": options.most,
        "tries": [dataclasses.asdict(each) for each in tries],
    }


class _TimeUpError(Exception):
    """The budget is used up."""


def _ask(
    facts: dict[str, Any], options: argparse.Namespace, *, soft: bool = False
) -> dict[str, Any]:
    """Return what the child answers. ``soft``: an error of one question is its answer."""
    from metalassay.ask import children

    _progress(options, facts["question"])
    answer = children.ask(facts, _LONGEST)
    if "error" in answer and not soft:
        raise UserError(answer["error"], answer["next_step"])
    return answer


def _progress(options: argparse.Namespace, what: str) -> None:
    if not options.quiet:
        print(f"ask: {what} ...", file=sys.stderr, flush=True)
