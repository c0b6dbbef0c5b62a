"""What was measured of the claims: on this machine, on others whose files are here, and by contributors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metalassay import language
from metalassay.claims import decide, evidence
from metalassay.claims.decide import OPEN, Decided
from metalassay.claims.evidence import Evidence
from metalassay.machine import hardware

HERE, ELSEWHERE, SHIPPED = "on this Mac", "on another Mac", "by a contributor, on a Mac"
NOTE = (
    "By metalassay claims run. Such a verdict is that of one Mac; the column beside the claim is the verdict of this "
    "release. Other machines than Macs decide nothing."
)


@dataclass(frozen=True)
class Measured:
    """The runs by where they were made, with a warning for each file that cannot be read."""

    here: tuple[Evidence, ...] = ()
    elsewhere: tuple[Evidence, ...] = ()
    shipped: tuple[Evidence, ...] = ()
    warnings: tuple[str, ...] = ()

    def of(self, claim: str) -> list[tuple[str, Decided]]:
        """Return what is decided of a claim, with where: at most one of each, that of this Mac first."""
        found = []
        for where, runs in (
            (HERE, self.here),
            (ELSEWHERE, self.elsewhere),
            (SHIPPED, self.shipped),
        ):
            decided = decide.decide(claim, runs)
            if decided is not None:
                found.append((where, decided))
        return found

    def settled(self, claim: str) -> list[tuple[str, Decided]]:
        """Return what is decided of a claim by runs that count."""
        return [(where, decided) for where, decided in self.of(claim) if decided.settled]


def load(folder: Path = evidence.FOLDER) -> Measured:
    """Read the files in a folder and those of this release."""
    runs, warnings = evidence.load(folder)
    return sort(runs, warnings)


def sort(runs: Sequence[Evidence], warnings: Sequence[str] = ()) -> Measured:
    """Tell runs of this machine from others."""
    # Asking a Mac for its GPU takes seconds: not where nothing was measured.
    machine = hardware.identity(hardware.probe()) if runs else None
    here = tuple(run for run in runs if hardware.identity(run.machine) == machine)
    elsewhere = tuple(run for run in runs if run not in here)
    return Measured(here, elsewhere, tuple(evidence.shipped()), tuple(warnings))


def sentence(where: str, decided: Decided) -> str:
    """Return one line: "decided on this Mac: refuted (Apple M4 ..., mps, torch 2.13.0, 8 rounds, 2026-11-29)"."""
    if decided.settled:
        text = "decided {where}: {word} ({conditions})"
    elif decided.run.on_a_mac:
        text = "measured {where}, not decided: {why} ({conditions})"
    elif decided.word == OPEN:
        text = "measured on this machine, which is not a Mac: {why} ({conditions})"
    else:
        text = (
            "measured on this machine, which is not a Mac, so it decides nothing: "
            "here it would be {word} ({conditions})"
        )
    return _label(text).format(
        where=_label(where),
        word=_label(decided.word),
        why=decided.why,
        conditions=decided.run.conditions(),
    )


def _label(text: str) -> str:
    return language.label(__package__ or "", text)
