"""The content of a report as rows of text, which is all that a renderer knows: no measuring, no markup."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

NOT_MEASURED = "not measured"
NO_VALUE = "\N{EN DASH}"
REHEARSAL = "rehearsal"
"""Marks what an emulated device did: it shows that the commands and the pages work, and no speed."""
SLOW = "not tested (slow)"
"""The text of a cell whose bug affects these versions, and whose slow tests were left out."""


@dataclass(frozen=True)
class Table:
    """A plain table. ``caption`` names the machine or machines; ``numeric`` columns align right.

    ``marked`` are the cells (row, column) to highlight because they differ and should not. ``commands``
    are the commands that fill cells (row, column) in which something is missing. ``links`` are web addresses
    of cells, and ``tags`` those of each row by which a ``Filter`` of the section chooses.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    notes: tuple[str, ...] = ()
    marked: frozenset[tuple[int, int]] = frozenset()
    commands: Mapping[tuple[int, int], str] = field(default_factory=dict, hash=False)
    links: Mapping[tuple[int, int], str] = field(default_factory=dict, hash=False)
    tags: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Filter:
    """A choice of the rows that a section shows: ``choices`` are pairs of a tag and what it is called.

    ``id`` and the tags have letters, digits and hyphens only.
    """

    id: str
    label: str
    choices: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Evidence:
    """One run of a test behind a cell; ``text`` is the end of its traceback, or why it was skipped.

    ``seconds`` is empty where it was not recorded.
    """

    test: str
    upstream: str
    outcome: str
    seconds: str
    symptom: str
    text: str


@dataclass(frozen=True)
class Cell:
    """One bug in one version set: the verdict in a few words, and the evidence for it.

    ``tone`` is one of fine, broken, patched, red, untested, absent, unreadable, unfinished, and "clear"
    where there is nothing to report. ``meaning`` is a sentence; ``why`` is the full reason where
    nothing, or not all, was tested.
    """

    text: str
    tone: str
    meaning: str
    why: str = ""
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class Column:
    """One version set; ``facts`` are the rows below its name, in the order of ``fact_names``.

    ``state`` is empty, "not installable", "unreadable" or "not finished"; if it is not empty, every cell
    has it too. ``mark`` is empty, or says why the column is not the whole and latest run of its row.
    ``recorded`` is when and with what it was recorded, ``selection`` what was left out, and ``lock`` all
    packages with their versions; they are empty where that is not known.
    """

    id: str
    state: str
    facts: tuple[str, ...]
    reason: str
    command: str
    seconds: str
    versions: str
    file: str
    mark: str = ""
    recorded: str = ""
    selection: str = ""
    lock: str = ""


@dataclass(frozen=True)
class BugRow:
    """One known bug, with one cell per column; ``link`` is empty or a web address.

    The row of all tests that are about no known bug has ``known`` False.
    """

    id: str
    title: str
    link: str
    where: str
    fixes: tuple[str, ...]
    cells: tuple[Cell, ...]
    known: bool = True


@dataclass(frozen=True)
class CompatTable:
    """The bugs (rows) against the version sets (columns); ``caption`` names the machine or machines.

    ``alerts`` say which columns are not the whole and latest run of their rows, and how to make them so;
    ``remarks`` count them in a few words each.
    """

    caption: str
    fact_names: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[BugRow, ...]
    how_to_read: tuple[str, ...]
    notes: tuple[str, ...]
    alerts: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def bugs(self) -> int:
        """The number of known bugs."""
        return sum(row.known for row in self.rows)

    def counts(self) -> Counter[str]:
        """Count all cells, see ``count``."""
        return count(cell for row in self.rows for cell in row.cells)

    def failed_others(self) -> int:
        """Count the failures of tests that are about no known bug."""
        return sum(len(cell.evidence) for row in self.rows if not row.known for cell in row.cells)


@dataclass(frozen=True)
class Point:
    """A value ``y`` at ``x``; ``low`` and ``high`` bound its interval, None where it has none.

    ``label`` describes the point in words, for its tooltip and for readers who do not see the plot.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    label: str = ""


@dataclass(frozen=True)
class Series:
    """Points of one kind, in the order of x, joined if ``line``.

    ``projected`` points were computed and not measured; they are drawn hatched and labelled.
    """

    name: str
    points: tuple[Point, ...]
    line: bool = True
    projected: bool = False


@dataclass(frozen=True)
class Roofline:
    """The limits of a machine: peak arithmetic and peak memory bandwidth."""

    name: str
    gflop_s: float
    gb_s: float

    def at(self, intensity: float) -> float:
        """Return the attainable GFLOP/s at an arithmetic intensity in FLOP/byte."""
        return min(self.gflop_s, intensity * self.gb_s)


@dataclass(frozen=True)
class Plot:
    """A plot that answers the question in its ``title``. Axes start at 0 unless logarithmic."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_log: bool = False
    y_log: bool = False
    rooflines: tuple[Roofline, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """One bar from 0 to ``value``; ``label`` is its number in words, beside it."""

    name: str
    value: float
    label: str


@dataclass(frozen=True)
class BarChart:
    """Horizontal bars, from top to bottom. A table of its section has the same numbers."""

    title: str
    x_label: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Section:
    """A section of the report: sentences, then plots and bars, then tables. ``id`` is its anchor.

    ``hint`` replaces them where there is nothing yet; ``projected`` labels the section as computed. ``filters``
    choose rows on the page, without a script; other formats show every row.
    The tables of a ``printed`` section also appear in the terminal.
    """

    id: str
    title: str
    sentences: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()
    tables: tuple[Table, ...] = ()
    hint: Hint | None = None
    projected: bool = False
    bars: tuple[BarChart, ...] = ()
    filters: tuple[Filter, ...] = ()
    printed: bool = False


@dataclass(frozen=True)
class Hint:
    """Why a section is empty, and the command that fills it."""

    sentence: str
    command: str


@dataclass(frozen=True)
class Report:
    """The whole report; a ``Hint`` replaces each part for which no file was read.

    ``commands`` are pairs of a command and what it does. ``headline`` is three sentences: what was
    run where, what broke, and how fast it was. ``sections`` are in the order of the page.
    ``key_figures`` are six figures of two or more machines, None for fewer. ``rehearsal`` is a sentence
    for the top of every page where something ran on an emulated device, else empty. ``doubt`` says in one
    line what makes figures doubtful, for the card, which has no notes; empty where nothing does.
    """

    summary_line: str
    compat: CompatTable | Hint
    benchmarks: tuple[Table, ...] | Hint
    comparison: Table | Hint
    conditions: Table | None
    warnings: tuple[str, ...]
    method: tuple[str, ...]
    commands: tuple[tuple[str, str], ...]
    headline: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    key_figures: Table | None = None
    rehearsal: str = ""
    doubt: str = ""


def count(cells: Iterable[Cell]) -> Counter[str]:
    """Count cells by tone; those with the text ``SLOW`` are counted as "slow"."""
    return Counter("slow" if cell.text == SLOW else cell.tone for cell in cells)


def significant(value: float, digits: int = 3) -> str:
    """Format a number with three significant digits, as in 2,850 or 0.0123: runs carry no more."""
    if not math.isfinite(value):
        return f"{value:g}"
    if value == 0:
        return "0"
    scientific = f"{value:.{digits - 1}e}"
    exponent = int(scientific.partition("e")[2])
    if not -4 <= exponent <= 11:
        return scientific
    return f"{float(scientific):,.{max(0, digits - 1 - exponent)}f}"


def counted(number: int, what: str, plural: str = "") -> str:
    """Return "1 file" or "2,000 files"; ``plural`` where an s is not enough."""
    return f"{number:,} {what if number == 1 else plural or f'{what}s'}"


def not_shown(number: int, what: str, where: str = "", done: str = "shown") -> str:
    """Return "1 further file is not shown." or "2 further files are not shown."."""
    return f"{counted(number, what)}{where} {'is' if number == 1 else 'are'} not {done}."
