"""The command `metalassay claims`: list the claims of the guides, or show one."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from metalassay.errors import UserError

if TYPE_CHECKING:
    from metalassay.claims.catalogue import Claim


EXPERIMENT = "python tools/claim_experiments.py "


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "List what five guides claim about PyTorch on a Mac, each with a verdict and the truth; or"
        " show one claim, what decides it, and the command that checks it."
    )
    parser.epilog = """\
examples:
  metalassay claims                                every claim
  metalassay claims --guide 002 --verdict refuted  what guide 002 gets wrong
  metalassay claims --verdict "needs a Mac"        what a Mac could decide
  metalassay claims bandwidth-utilisation          one claim, and how to check it

verdicts: confirmed, refuted, misleading, depends on version; needs a Mac (the test or command exists
and was not run on one), not testable (with the reason)

exit code: 0 answered, 2 bad input"""
    parser.add_argument("claim", nargs="?", metavar="ID", help="show this claim with its evidence")
    parser.add_argument("--guide", metavar="000-004", help="list the claims of this guide only")
    parser.add_argument("--verdict", metavar="WORD", help="list the claims with this verdict only")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.claims import catalogue as claims
    from metalassay.claims import text as claims_text

    width = min(shutil.get_terminal_size().columns, 120)
    if options.claim is not None:
        if options.guide or options.verdict:
            raise UserError(
                "--guide and --verdict choose among claims, and one is named already",
                f"metalassay claims {options.claim}",
            )
        return _one(claims.get(options.claim), options.json, width)
    guide = _guide(options.guide)
    verdict = _verdict(options.verdict)
    chosen = [
        claim
        for claim in claims.load()
        if (verdict is None or claim.verdict == verdict)
        and (guide is None or guide in {place.guide for place in claim.guides})
    ]
    if options.json:
        print(json.dumps({"claims": [_fields(claim) for claim in chosen]}, indent=1))
        return 0
    if chosen:
        print(claims_text.table(chosen, width, guide))
    print(claims_text.counts(chosen), file=sys.stderr)
    return 0


def _one(claim: Claim, as_json: bool, width: int) -> int:
    from metalassay.claims import evidence
    from metalassay.claims import text as claims_text

    runs: list[evidence.Evidence] = []
    warnings: list[str] = []
    if claim.command.startswith(EXPERIMENT):
        runs, warnings = evidence.load(claim.command.removeprefix(EXPERIMENT))
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps({**_fields(claim), "measured": [asdict(r) for r in runs]}, indent=1))
    else:
        print(claims_text.details(claim, runs, width))
    return 0


def _fields(claim: Claim) -> dict[str, Any]:
    """Return a claim for JSON: its places as text, and what follows from its fields."""
    return {
        **asdict(claim),
        "guides": [str(place) for place in claim.guides],
        "decided": claim.decided,
        "commands": {"here": list(claim.here), "on a Mac": list(claim.on_a_mac)},
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
