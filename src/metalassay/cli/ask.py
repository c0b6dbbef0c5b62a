"""The command `metalassay ask`: questions about the user's own model."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metalassay.cli import option_types
from metalassay.errors import UserError
from metalassay.files import check_writable

_SHARE = {
    "preflight": 0.0,
    "devices": 0.25,
    "roofline": 0.05,
    "numbers": 0.0,
    "batch": 0.25,
    "compile": 0.25,
    "precision": 0.2,
}
"""Of the budget, where all are asked; nothing is timed for a preflight, nor to compare numbers."""
QUESTIONS = tuple(_SHARE)
_LONGEST = 600.0  # seconds that one question may take; torch.compile can take minutes
_TIMED = ("devices", "roofline", "compile")
"""What has no answer on an emulated device."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Ask about a model of yours, on this machine: what MPS lacks for it; which device is faster and"
        " at which batch size; how far a step is from what the machine can do; whether the device"
        " computes what the CPU computes, and if not, which operator is the first that does not; the"
        " largest batch; whether torch.compile helps; and what 16-bit numbers gain and cost. FILE defines"
        " make(batch_size) and may define loss(model, batch): see `metalassay init-step`."
    )
    parser.epilog = """\
examples:
  metalassay init-step my.py               a file to start from
  metalassay ask my.py
  metalassay ask my.py --only numbers      is MPS right, and where not
  metalassay ask my.py --only preflight --torch 2.9.1
  metalassay ask my.py --only compile --batch-size 32 --json
  metalassay ask my.py --only preflight --profile    where a step goes, by operator
  metalassay ask my.py --save ask.json     then: metalassay report ask.json

A question that needs a GPU is "not on this machine" without one. Each runs in processes of its
own; nothing is downloaded unless your file does.

exit code: 0 answered, 1 the device computes something else than the CPU, 2 bad input or a
question that has no answer, 130 interrupted"""
    parser.add_argument(
        "file", type=option_types.path, metavar="FILE", help="a Python file of yours"
    )
    parser.add_argument(
        "--only",
        choices=QUESTIONS,
        action="append",
        metavar="QUESTION",
        help=f"ask this only: {', '.join(QUESTIONS[:-1])} or {QUESTIONS[-1]}; repeatable (default: all)",
    )
    parser.add_argument(
        "--torch",
        metavar="VERSION",
        default="",
        help="the torch whose MPS is judged by preflight and known bugs (default: the installed one)",
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
        help="folder for a program that shows a difference, if there is one, and for a profile",
    )
    parser.add_argument(
        "--profile",
        nargs="?",
        type=option_types.count,
        const=10,
        default=0,
        metavar="STEPS",
        help="after the answers, profile this many steps (10) in a process of their own: a table by operator,"
        " and a trace for Perfetto; they enter no answer",
    )
    parser.add_argument(
        "--save",
        type=option_types.path,
        metavar="FILE",
        help="save the answers to this JSON file, for `metalassay report`",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print the answers only, without progress"
    )
    parser.add_argument("--json", action="store_true", help="print the answers as JSON")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.ask import answers
    from metalassay.environment import extras, versions
    from metalassay.files import write_or_error
    from metalassay.machine import hardware
    from metalassay.results import ask_file

    extras.require("ask", "train", "numpy", "safetensors", "torch")
    path: Path = options.file
    if path.suffix != ".py" or not path.is_file():
        raise UserError(f"{path} is no Python file", "metalassay init-step my.py writes one")
    questions = [each for each in QUESTIONS if each in (options.only or QUESTIONS)]
    another = "name another folder with --output"
    _check_before(options, questions, another)
    facts: dict[str, Any] = {
        "file": str(path),
        "device": options.device,
        "batch_size": options.batch_size,
        "folder": str(options.output),
        "torch": options.torch,
        "hazards": "numbers" in questions,
    }
    started = datetime.now(UTC)
    about = _ask({**facts, "question": "check"}, options)
    known = about.pop("hazards")
    usable = [kind for kind, why in about["devices"].items() if not why]
    if options.device == "auto":
        facts["device"] = next(kind for kind in ("mps", "cuda", "cpu") if kind in usable)
    elif options.device not in usable:
        raise UserError(
            f"{options.device} cannot be used here: {about['devices'][options.device]}",
            "leave --device out, or ask metalassay doctor",
        )
    about |= {"device": facts["device"], "batch_size": options.batch_size}
    found = ask_file.document(
        model=path.name,
        started=started,
        about=about,
        versions=versions.installed(),
        machine=hardware.probe(),
    )
    if not options.json:
        print(answers.about(about, path.name, options.batch_size))
    for question in questions:
        found[question] = _one(question, facts, about, usable, options)
        if question == "numbers" and facts["device"] != "cuda":
            found[question]["hazards"] = known
        _print(question, found, options)
    if options.profile:
        found["profile"] = _profile(facts, about, options)
        _print("profile", found, options)
    unsaved = None
    content = json.dumps(ask_file.finite(found), indent=1, allow_nan=False)
    if options.save:
        unsaved = write_or_error(options.save, content + "\n", "name another file with --save")
    if options.json:
        print(content)
    elif options.save and not unsaved:
        print(f"\n{options.save}")
    numbers = found.get("numbers", {})
    if numbers.get("unwritten"):
        raise UserError(f"cannot write {options.output}: {numbers['unwritten']}", another)
    if unsaved is not None:
        raise unsaved
    if any("error" in found[question] for question in questions):
        return 2
    return 1 if numbers.get("right") is False else 0


def _check_before(options: argparse.Namespace, questions: Sequence[str], another: str) -> None:
    """Refuse before minutes of work what could not be used after them."""
    from metalassay.mps.operators import oracle
    from metalassay.results import ask_file

    if options.torch:
        oracle.load(options.torch)
    if "numbers" in questions:
        check_writable(options.output / "difference.py", another)
    if options.profile:
        check_writable(options.output / "profile.json", another)
    if options.save:
        if options.save.is_file() and not ask_file.is_one(options.save):
            raise UserError(
                f"{options.save} is there, and holds no answers of metalassay ask",
                "name another file with --save",
            )
        check_writable(options.save, "name another file with --save")


def _print(question: str, found: dict[str, Any], options: argparse.Namespace) -> None:
    """Put an answer into words, in the file too, and print it."""
    from metalassay.ask import answers

    found[question]["text"] = answers.lines(question, found[question], found["about"])
    if not options.json:
        print()
        print(answers.text(question, found[question], found["about"]), flush=True)


def _one(
    question: str,
    facts: dict[str, Any],
    about: dict[str, Any],
    usable: list[str],
    options: argparse.Namespace,
) -> dict[str, Any]:
    if question == "numbers" and facts["device"] == "cpu":
        return {"not_here": "there is no GPU to compare with the CPU"}
    if question in _TIMED and about["emulated"].get(facts["device"]):
        answer: dict[str, Any] = {"not_here": _emulated(facts)}
        if question == "devices":
            asked = {**facts, "question": "transfers", "budget": 0.0}
            answer["transfers"] = _ask(asked, options, soft=True)
        return answer
    asked_share = sum(_SHARE[each] for each in set(options.only or QUESTIONS)) or 1.0
    budget = options.budget * _SHARE[question] / asked_share
    if question == "batch":
        return _batch(facts, budget, options)
    kinds = ["cpu", facts["device"]] if facts["device"] != "cpu" else ["cpu"]
    return _ask(
        {**facts, "question": question, "budget": budget, "kinds": kinds}, options, soft=True
    )


def _profile(
    facts: dict[str, Any], about: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    if about["emulated"].get(facts["device"]):
        return {"not_here": _emulated(facts)}
    return _ask(
        {**facts, "question": "profile", "budget": 0.0, "steps": options.profile},
        options,
        soft=True,
    )


def _emulated(facts: dict[str, Any]) -> str:
    return f"{facts['device']} is emulated on the CPU, and its times are meaningless"


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
