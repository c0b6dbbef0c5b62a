"""The claims of the guides, what is true instead, and what decides each: reads claims/data/."""

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
"""In the order of tables. The first four are decisions; the last two are open."""
NOT_JUDGED = "not judged"
"""What ``was`` says of a claim that was added when the verdicts were corrected."""

# "002:40" or "002:33-34", in one of the five guides with which this project began.
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
    """One row of claims/data/; the README there explains the fields. Missing ones are empty."""

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
    program_test: str = ""
    was: str = ""

    @property
    def decided(self) -> str:
        """The basis of the verdict: "test", "arithmetic", "program", "documents", "a Mac" or "nothing".

        "a Mac" means that a test on a Mac would decide it, "nothing" that nothing can.
        """
        if self.verdict in (NEEDS_A_MAC, NOT_TESTABLE):
            return "a Mac" if self.verdict == NEEDS_A_MAC else "nothing"
        if self.test:
            return "test"
        if self.arithmetic:
            return "arithmetic"
        return "program" if self.program_test else "documents"

    @property
    def here(self) -> tuple[str, ...]:
        """The commands that decide it on any machine."""
        tests = [self.test] if self.test else []
        if self.arithmetic:
            tests.append(f"tests/claims/test_arithmetic.py -k {self.arithmetic}")
        return tuple(f"python -m pytest {test}" for test in tests)

    @property
    def by_program(self) -> tuple[str, ...]:
        """The command that runs the guide's own program, from a clone of its repository."""
        if not self.program_test:
            return ()
        return (f"METALASSAY_GUIDE_PROGRAMS=FOLDER python -m pytest {self.program_test}",)

    @property
    def on_a_mac(self) -> tuple[str, ...]:
        """The commands that show the fact itself on a Mac; on other machines the tests skip."""
        tests = (f"python -m pytest {self.mac_test}",) if self.mac_test else ()
        return (*tests, self.command) if self.command else tests


def place(text: str) -> Place:
    """Parse "002:40" or "002:33-34". Raises ``ValueError`` for other text and for reversed lines."""
    match = _PLACE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a place in a guide such as 002:40 or 002:33-34")
    guide, first, last = match[1], int(match[2]), int(match[3] or match[2])
    if last < first:
        raise ValueError(f"{text!r}: the last line precedes the first")
    return Place(guide, first, last)


def parse(text: str) -> tuple[Claim, ...]:
    """Parse TOML and return one ``Claim`` per row, in order.

    Raises ``KeyError`` for a missing field, and ``ValueError`` for an unknown field, an invalid place
    or verdict, and a verdict without the evidence that it requires; all name the row.
    """
    claims = []
    for row in tomllib.loads(text)["claim"]:
        where = row.get("id", "a row without id")
        known = {field.name: field.default for field in fields(Claim)}
        for field, default in known.items():
            if default is MISSING and field not in row:
                raise KeyError(f"claims: {where} has no {field}")
        for field in row.keys() - known:
            raise ValueError(f"claims: {where}: unknown field {field!r}")
        try:
            claim = Claim(**{**row, "guides": tuple(map(place, row["guides"]))})
            _check(claim)
        except ValueError as error:
            raise ValueError(f"claims: {where}: {error}") from None
        claims.append(claim)
    return tuple(claims)


def _check(claim: Claim) -> None:
    """Raise ``ValueError`` if the row does not have the evidence that its verdict requires."""
    evidence = claim.test or claim.arithmetic or claim.program_test or claim.source
    runnable = claim.mac_test or claim.command
    if claim.verdict not in VERDICTS:
        raise ValueError(f"verdict {claim.verdict!r} is not one of {VERDICTS}")
    if not claim.guides:
        raise ValueError("no guide is named")
    if claim.was and (claim.was not in (*VERDICTS, NOT_JUDGED) or claim.was == claim.verdict):
        raise ValueError(f"was {claim.was!r} is neither another verdict nor {NOT_JUDGED!r}")
    if claim.verdict == NEEDS_A_MAC:
        if claim.test or claim.arithmetic:
            raise ValueError("a claim that a test or arithmetic decides needs no Mac")
        if not runnable:
            raise ValueError("needs a mac_test or a command that would decide it")
    elif claim.verdict == NOT_TESTABLE:
        if claim.test or claim.arithmetic or claim.program_test or runnable:
            raise ValueError("a claim that is not testable has no test, arithmetic or command")
    elif not evidence:
        raise ValueError(f"no evidence that it is {claim.verdict}")


@functools.cache
def load() -> tuple[Claim, ...]:
    """Return all claims, in the order of the files and of their rows.

    Raises like ``parse``, and ``ValueError`` for an id that is used twice.
    """
    folder = resources.files(__package__).joinpath("data")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    claims = tuple(claim for file in files for claim in parse(file.read_text("utf-8")))
    for claim in claims:
        if sum(other.id == claim.id for other in claims) > 1:
            raise ValueError(f"claims: the id {claim.id} is used twice")
    return claims


def get(claim_id: str) -> Claim:
    """Return the claim with this id. Raises ``UserError`` with similar ids for an unknown one."""
    ids = [claim.id for claim in load()]
    if claim_id in ids:
        return load()[ids.index(claim_id)]
    similar = difflib.get_close_matches(claim_id, ids, n=3)
    similar += [known for known in ids if claim_id and claim_id in known and known not in similar][
        :3
    ]
    question = f"did you mean {', '.join(similar)}? " if similar else ""
    command = " ".join(["metalassay claims", *similar[:1]])
    raise UserError(f"no claim {claim_id!r}", question + command)
