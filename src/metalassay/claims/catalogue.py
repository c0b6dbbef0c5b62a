"""What guides claim, what is true instead, and what decides it: reads the folder claims/."""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
from dataclasses import MISSING, dataclass, fields
from importlib import resources

from metalassay.errors import UserError

NEEDS_A_MAC, NOT_TESTABLE = "needs a Mac", "not testable"
VERDICTS = (
    "confirmed",
    "refuted",
    "misleading",
    "depends on version",
    NEEDS_A_MAC,
    NOT_TESTABLE,
)
"""In the order of tables. The first four are decided; nothing has decided the last two."""

# "002:40" or "002:33-34", of the five guides that this project began with.
_PLACE = re.compile(r"(00[0-4]):([1-9][0-9]*)(?:-([1-9][0-9]*))?")


@dataclass(frozen=True)
class Place:
    """Lines of a guide: its number, "000" to "004", and the first and the last line, from 1."""

    guide: str
    first: int
    last: int

    def __str__(self) -> str:
        """Return "002:40" or "002:33-34"."""
        lines = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.guide}:{lines}"


@dataclass(frozen=True)
class Claim:
    """One row of claims/; the README there explains the fields. Those without a value are empty."""

    id: str
    claim: str
    guides: tuple[Place, ...]
    verdict: str
    truth: str
    test: str = ""
    arithmetic: str = ""
    source: str = ""
    mac_test: str = ""
    command: str = ""

    @property
    def decided(self) -> str:
        """Say what the verdict rests on: "test", "arithmetic", "documents", "a Mac" or "nothing".

        "a Mac" will decide it, and has not yet; "nothing" can.
        """
        if self.verdict in (NEEDS_A_MAC, NOT_TESTABLE):
            return "a Mac" if self.verdict == NEEDS_A_MAC else "nothing"
        if self.test:
            return "test"
        return "arithmetic" if self.arithmetic else "documents"

    @property
    def here(self) -> tuple[str, ...]:
        """Return the commands that decide it on any machine."""
        tests = [self.test] if self.test else []
        if self.arithmetic:
            tests.append(f"tests/claims/test_arithmetic.py -k {self.arithmetic}")
        return tuple(f"python -m pytest {test}" for test in tests)

    @property
    def on_a_mac(self) -> tuple[str, ...]:
        """Return the commands that show the fact itself on a Mac; elsewhere tests skip."""
        tests = (f"python -m pytest {self.mac_test}",) if self.mac_test else ()
        return (*tests, self.command) if self.command else tests


def place(text: str) -> Place:
    """Read "002:40" or "002:33-34". Raises ``ValueError`` for anything else, backward lines too."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no place in a guide, as 002:40 or 002:33-34 are")
    guide, first, last = found[1], int(found[2]), int(found[3] or found[2])
    if last < first:
        raise ValueError(f"{text!r} runs backward")
    return Place(guide, first, last)


def parse(text: str) -> tuple[Claim, ...]:
    """Read TOML, one ``Claim`` a row in its order.

    Raises ``KeyError`` for a missing field and ``ValueError`` for an unknown field, a place or a
    verdict that is none, and for a verdict without what it demands; all name the row.
    """
    found = []
    for row in tomllib.loads(text)["claim"]:
        where = row.get("id", "a row without id")
        known = {each.name: each.default for each in fields(Claim)}
        for field, default in known.items():
            if default is MISSING and field not in row:
                raise KeyError(f"claims: {where} has no {field}")
        for field in row.keys() - known:
            raise ValueError(f"claims: {where}: nobody reads the field {field!r}")
        try:
            claim = Claim(**{**row, "guides": tuple(map(place, row["guides"]))})
            _check(claim)
        except ValueError as error:
            raise ValueError(f"claims: {where}: {error}") from None
        found.append(claim)
    return tuple(found)


def _check(claim: Claim) -> None:
    """Raise ``ValueError`` where the row does not have what its verdict demands."""
    evidence = claim.test or claim.arithmetic or claim.source
    runnable = claim.mac_test or claim.command
    if claim.verdict not in VERDICTS:
        raise ValueError(f"verdict is {claim.verdict!r}, none of {VERDICTS}")
    if not claim.guides:
        raise ValueError("no guide says so")
    if claim.verdict == NEEDS_A_MAC:
        if claim.test or claim.arithmetic:
            raise ValueError("what a test or arithmetic decides here needs no Mac")
        if not runnable:
            raise ValueError("a Mac would need a test or a command to decide it")
    elif claim.verdict == NOT_TESTABLE:
        if claim.test or claim.arithmetic or runnable:
            raise ValueError("what is not testable has no test, arithmetic or command")
    elif not evidence:
        raise ValueError(f"nothing says why it is {claim.verdict}")


@functools.cache
def load() -> tuple[Claim, ...]:
    """Return all claims, in the order of the files and of their rows.

    Raises as ``parse`` does, and ``ValueError`` for an id that is used twice.
    """
    folder = resources.files(__package__).joinpath("data")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    found = tuple(claim for file in files for claim in parse(file.read_text("utf-8")))
    for claim in found:
        if sum(each.id == claim.id for each in found) > 1:
            raise ValueError(f"claims: the id {claim.id} is used twice")
    return found


def get(claim_id: str) -> Claim:
    """Return the claim of that id; an unknown one is a ``UserError`` that names similar ones."""
    ids = [claim.id for claim in load()]
    if claim_id in ids:
        return load()[ids.index(claim_id)]
    alike = difflib.get_close_matches(claim_id, ids, n=3)
    alike += [each for each in ids if claim_id and claim_id in each and each not in alike][:3]
    meant = f"did you mean {', '.join(alike)}? " if alike else ""
    raise UserError(f"no claim {claim_id!r}", meant + " ".join(["metalassay claims", *alike[:1]]))
