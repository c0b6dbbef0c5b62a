"""What every source of an answer to an error hands over: known bugs, limits, operators, API history."""

from __future__ import annotations

from dataclasses import dataclass

from metalassay.bugs.matching import APPLIES

SOURCES = ("bug", "limit", "operator", "api")


@dataclass(frozen=True)
class Found:
    """One thing that a source recognised in a text.

    ``source`` is one of ``SOURCES``. ``id`` names the row of the data, the operator, or the public name
    concerned. ``title`` is the cause in one line. ``applies`` is one of ``bugs.matching.APPLIES`` and
    ``note`` says why, with the installed versions. ``words`` is the line of the text, at offset
    ``position`` of the cleaned text. ``cause`` explains. ``do`` is what to do, the best first, each a
    command or a change of code; ``not_help`` is what people try in vain. ``sure`` says how sure this
    is: "executed by us on …", "read in the source of …", "reported by others". ``generic``: other
    mistakes produce the same words.
    """

    source: str
    id: str
    title: str
    applies: str
    note: str
    words: str
    position: int
    cause: str
    do: tuple[str, ...]
    not_help: tuple[str, ...]
    link: str
    sure: str
    generic: bool = False

    def __post_init__(self) -> None:
        if self.source not in SOURCES or self.applies not in APPLIES:
            raise ValueError(f"{self.id}: source {self.source!r}, applies {self.applies!r}")
