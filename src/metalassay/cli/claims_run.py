"""`metalassay claims run`: measure what this machine can decide, and say what came of it."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metalassay.claims.decide import OPEN
from metalassay.errors import UserError

if TYPE_CHECKING:
    from metalassay.claims.experiments import Experiment
    from metalassay.experiments.run import Outcome

MINUTES = 20.0


def run(options: argparse.Namespace, names: Sequence[str]) -> int:
    """Run the command and return its exit code; a signal ends it as Ctrl+C does."""
    from metalassay import interrupts

    chosen = _chosen(options, names)
    try:
        with interrupts.Interrupts() as caught, caught.at_once():
            return _run(options, chosen)
    except KeyboardInterrupt:
        interrupts.ignore()  # what is left is to say so, and the exit code
        print("what was measured is kept; the same command goes on where it ended", file=sys.stderr)
        raise


def _chosen(options: argparse.Namespace, names: Sequence[str]) -> list[Experiment]:
    from metalassay.claims import experiments

    if options.all and names:
        raise UserError("--all runs everything, and some are named", "metalassay claims run --all")
    if options.all:
        return list(experiments.load())
    if not names:
        raise UserError(
            "nothing is named to run", "metalassay claims run --all; or the id of a claim"
        )
    return list(dict.fromkeys(experiments.get(name) for name in names))


def _run(options: argparse.Namespace, chosen: Sequence[Experiment]) -> int:
    from metalassay.experiments import run as experiments

    if options.dry_run:
        _plan(chosen, as_json=options.json)
        return 0
    wanted = experiments.Wanted(
        chosen,
        options.folder,
        60 * (options.minutes or MINUTES),
        again=options.again,
        emulated=options.allow_emulated,
        whole=options.all,
    )
    outcomes = experiments.run(wanted, _shown(options))
    if options.json:
        print(json.dumps({"experiments": [_fields(outcome) for outcome in outcomes]}, indent=1))
    else:
        _print_end(outcomes)
    return 1 if any(outcome.state == experiments.FAILED for outcome in outcomes) else 0


def _shown(options: argparse.Namespace) -> Any:
    from metalassay.experiments import run as experiments

    class Shown(experiments.Progress):
        """Says on stderr what runs, and on stdout what came of it; rounds are counted on a terminal alone."""

        def begins(self, number: int, of: int, experiment: Experiment, done: int) -> None:
            if not options.quiet:
                on = f", {done} of {experiment.rounds} rounds are there" if done else ""
                text = f"{number} of {of}  {experiment.name}: {experiment.question}"
                print(f"{text} about {experiment.seconds:.0f} s{on}", file=sys.stderr, flush=True)

        def round(self, number: int, of: int) -> None:
            if not options.quiet and sys.stderr.isatty():
                print(f"  round {number} of {of}", end="\r", file=sys.stderr, flush=True)

        def ends(self, outcome: Outcome) -> None:
            if not options.json:
                _print(outcome)

    return Shown()


def _print(outcome: Outcome) -> None:
    width = min(shutil.get_terminal_size().columns, 120)
    why = f": {outcome.why}" if outcome.why else ""
    lines = [f"{outcome.experiment.name}: {outcome.state}{why}"]
    for one in outcome.decided:
        word = "" if one.word == OPEN or one.counts else f"here it would be {one.word}; "
        lines.append(
            f"  {one.claim}: {one.word}, decided on this Mac"
            if one.settled
            else f"  {one.claim}: open; {word}{one.why}"
        )
    for line in lines:
        print(textwrap.fill(line, width, subsequent_indent="    "), flush=True)


def _print_end(outcomes: Sequence[Outcome]) -> None:
    settled = sum(one.settled for outcome in outcomes for one in outcome.decided)
    if not settled:
        print("no claim is decided by this run")
        return
    print(f"{settled} claim{'' if settled == 1 else 's'} decided on this Mac: metalassay claims")
    files = [outcome.file for outcome in outcomes if any(one.settled for one in outcome.decided)]
    print(f"to share it: metalassay submit {shlex.join(files)}")


def _plan(chosen: Sequence[Experiment], *, as_json: bool) -> None:
    from dataclasses import asdict

    from metalassay.claims import experiments

    rows = [(one, experiments.claims_of(one.name)) for one in chosen]
    if as_json:
        plan = [{**asdict(one), "claims": list(claims)} for one, claims in rows]
        print(json.dumps({"experiments": plan}, indent=1))
        return
    for one, claims in rows:
        print(f"{one.name:<16} {one.device:<11} about {one.seconds:>3.0f} s  {', '.join(claims)}")
    print(f"about {sum(one.seconds for one in chosen) / 60:.0f} minutes in all")


def _fields(outcome: Outcome) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "experiment": outcome.experiment.name,
        "state": outcome.state,
        "why": outcome.why,
        "file": outcome.file,
        "claims": [
            {
                "claim": one.claim,
                "verdict": one.word,
                "decided": one.settled,
                "why": one.why,
                "conditions": one.run.conditions(),
                "comparisons": [asdict(each) for each in one.shown],
            }
            for one in outcome.decided
        ],
    }
