"""The command `metalassay claims`: list the claims of the guides, show one, or measure what decides some."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metalassay import language
from metalassay.cli import claims_run, option_types
from metalassay.errors import UserError

if TYPE_CHECKING:
    from metalassay.claims.catalogue import Claim
    from metalassay.claims.measured import Measured

RUN = "run"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "List what five guides claim about PyTorch on a Mac, each with a verdict and the truth; or"
        " show one claim, what decides it, and the command that checks it; or, with `run`, measure what"
        " this machine can decide. A verdict of this Mac is shown apart from the verdict of this release."
    )
    parser.usage = (
        "metalassay claims [ID] [options]; metalassay claims run ID ... | --all [options]"
    )
    parser.epilog = """\
examples:
  metalassay claims                                every claim
  metalassay claims --guide 002 --verdict refuted  what guide 002 gets wrong
  metalassay claims --verdict "needs a Mac"        what a Mac could decide
  metalassay claims bandwidth-utilisation          one claim, and how to check it
  metalassay claims zero-workers --lang zh         in Chinese

  metalassay claims run --all                      on a Mac: 20 minutes, the most valuable first
  metalassay claims run --all --minutes 5          as many as fit; the same command goes on
  metalassay claims run --all --dry-run            what would run, how long, for which claims
  metalassay claims run zero-workers layer-norm    the experiments of a claim, or by their names

verdicts: confirmed, refuted, misleading, depends on version; needs a Mac (the test or command exists
and was not run on one), not testable (with the reason)

`run` starts one process per experiment, which repeats it in rounds with an A/A control; the rule is that
of `metalassay compare`. What needs MPS is "not on this machine" elsewhere. Other machines than Macs
decide nothing. Ctrl+C keeps every round. Sends nothing: `metalassay submit` makes a copy to share.

exit code: 0 answered, 1 an experiment failed, 2 bad input, 130 interrupted"""
    parser.add_argument(
        "claim",
        nargs="*",
        metavar="ID",
        help="show this claim with its evidence; after `run`: claims or experiments to measure",
    )
    parser.collects = "claim"  # type: ignore[attr-defined]
    parser.add_argument("--guide", metavar="000-004", help="list the claims of this guide only")
    parser.add_argument("--verdict", metavar="WORD", help="list the claims with this verdict only")
    parser.add_argument(
        "--folder",
        type=option_types.path,
        metavar="DIR",
        default=Path("reports", "claims"),
        help="where `run` keeps what it measured, and where it is read",
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.add_argument("--lang", metavar="LANG", help=language.HELP)
    measuring = parser.add_argument_group("options of `run`")
    measuring.add_argument("--all", action="store_true", help="run every experiment")
    measuring.add_argument(
        "--minutes",
        type=option_types.number(above=0, most=10_000),
        metavar="M",
        help="begin nothing that would take longer (default: 20)",
    )
    measuring.add_argument(
        "--again", action="store_true", help="measure again what was measured on this machine"
    )
    measuring.add_argument(
        "--dry-run", action="store_true", help="say what would run and how long it takes"
    )
    measuring.add_argument("--quiet", action="store_true", help="print no progress")
    measuring.add_argument(
        "--allow-emulated",
        action="store_true",
        help="rehearse with an mps that is emulated on the CPU; it decides nothing",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    with language.use(language.chosen(options.lang, for_programs=options.json)):
        code = _run(options)
        if note := language.note():
            print(note, file=sys.stderr)
    return code


def _run(options: argparse.Namespace) -> int:
    if options.claim[:1] == [RUN]:
        if options.guide or options.verdict:
            raise UserError(
                "--guide and --verdict choose what is listed, not what is run",
                "metalassay claims run --all",
            )
        return claims_run.run(options, options.claim[1:])
    for name in ("all", "minutes", "again", "dry_run", "quiet", "allow_emulated"):
        if getattr(options, name):
            shown = name.replace("_", "-")
            raise UserError(f"--{shown} is an option of run", f"metalassay claims run --{shown}")
    if len(options.claim) > 1:
        raise UserError(
            f"{len(options.claim)} claims are named, and one can be shown",
            f"metalassay claims {options.claim[0]}",
        )
    return _one(options) if options.claim else _list(options)


def _list(options: argparse.Namespace) -> int:
    from metalassay.claims import catalogue as claims
    from metalassay.claims import text as claims_text

    width = min(shutil.get_terminal_size().columns, 120)
    guide = _guide(options.guide)
    verdict = _verdict(options.verdict)
    chosen = [
        claim
        for claim in claims.load()
        if (verdict is None or claim.verdict == verdict)
        and (guide is None or guide in {place.guide for place in claim.guides})
    ]
    measured = _measured(options.folder)
    if options.json:
        print(json.dumps({"claims": [_fields(claim, measured) for claim in chosen]}, indent=1))
        return 0
    if chosen:
        print(claims_text.table(chosen, width, guide, measured))
    print(claims_text.counts(chosen, measured), file=sys.stderr)
    return 0


def _one(options: argparse.Namespace) -> int:
    from metalassay.claims import catalogue as claims
    from metalassay.claims import text as claims_text

    (name,) = options.claim
    if options.guide or options.verdict:
        raise UserError(
            "--guide and --verdict choose among claims, and one is named already",
            f"metalassay claims {name}",
        )
    claim = claims.get(name)
    measured = _measured(options.folder)
    if options.json:
        print(json.dumps(_fields(claim, measured), indent=1))
    else:
        width = min(shutil.get_terminal_size().columns, 120)
        print(claims_text.details(claim, measured, width))
    return 0


def _measured(folder: Path) -> Measured:
    from metalassay.claims import measured

    found = measured.load(folder)
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return found


def _fields(claim: Claim, measured: Measured) -> dict[str, Any]:
    """Return a claim for JSON: its places as text, and what follows from its fields."""
    from metalassay.claims.text import translated

    return {
        **asdict(translated(claim)),
        "guides": [str(place) for place in claim.guides],
        "decided": claim.decided,
        "commands": {"here": list(claim.here), "on a Mac": list(claim.on_a_mac)},
        "measured": [
            {
                "where": where if decided.run.on_a_mac else "not on a Mac",
                "verdict": decided.word,
                "decides": decided.settled,
                "why": decided.why,
                "conditions": decided.run.conditions(),
                "file": decided.run.file,
                "comparisons": [asdict(each) for each in decided.shown],
            }
            for where, decided in measured.of(claim.id)
        ],
    }


def _guide(text: str | None) -> str | None:
    from metalassay.claims import catalogue as claims

    if text is None:
        return None
    known = sorted({place.guide for claim in claims.load() for place in claim.guides})
    if text.zfill(3) not in known:
        raise UserError(f"no guide {text!r}", f"choose one of {', '.join(known)}")
    return text.zfill(3)


def _verdict(text: str | None) -> str | None:
    from metalassay.claims.catalogue import VERDICTS

    if text is None:
        return None
    # "needs-a-mac" too, which needs no quotes.
    matching = [word for word in VERDICTS if word.lower() == text.replace("-", " ").lower()]
    if not matching:
        raise UserError(f"no verdict {text!r}", f"choose one of: {', '.join(VERDICTS)}")
    return matching[0]
