"""What a report says, as rows of text: all that a renderer knows. No measuring, no markup."""

from __future__ import annotations

from dataclasses import dataclass

NOT_MEASURED = "not measured"
NO_VALUE = "\N{EN DASH}"


@dataclass(frozen=True)
class Table:
    """A plain table. ``caption`` names the machine or machines; ``numeric`` columns align right.

    ``marked`` are cells (row, column) that differ where they should not, and are to stand out.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    notes: tuple[str, ...] = ()
    marked: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Evidence:
    """One run of a test behind a cell: ``text`` is the end of its traceback, or a skip's reason."""

    test: str
    upstream: str
    outcome: str
    seconds: str
    symptom: str
    text: str


@dataclass(frozen=True)
class Cell:
    """One bug in one version set: a short word for people, and what it rests on.

    ``tone`` is one of fine, broken, patched, red, untested, absent, unreadable. ``meaning`` is a
    sentence; ``why`` the reason in full where nothing was tested.
    """

    text: str
    tone: str
    meaning: str
    why: str = ""
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class Column:
    """One version set: ``facts`` are the rows beneath its name, in the order of ``fact_names``.

    ``state`` is empty, or "not installable" or "unreadable" and then so is every cell.
    """

    id: str
    state: str
    facts: tuple[str, ...]
    reason: str
    command: str
    seconds: str
    versions: str
    file: str


@dataclass(frozen=True)
class BugRow:
    """One known bug; ``link`` is empty unless it leads to the web. One cell a column."""

    id: str
    title: str
    link: str
    where: str
    fixes: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class CompatTable:
    """The bugs (rows) against the version sets (columns); ``caption`` names the machine or machines."""

    caption: str
    fact_names: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[BugRow, ...]
    how_to_read: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Point:
    """A value of a plot at ``x``; ``low`` and ``high`` bound its interval, None where it has none.

    ``label`` says in words what the point is: the text for those who do not see the plot.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    label: str = ""


@dataclass(frozen=True)
class Series:
    """Points of one kind, in the order of x. ``line`` joins them.

    ``projected`` points were computed and not measured: they are drawn hatched and named so.
    """

    name: str
    points: tuple[Point, ...]
    line: bool = True
    projected: bool = False


@dataclass(frozen=True)
class Plot:
    """A plot that answers the question in its ``title``. Axes start at 0 unless logarithmic.

    ``roofs`` are limits to draw as lines, for a roofline plot: (name, GFLOP/s, GB/s).
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_log: bool = False
    y_log: bool = False
    roofs: tuple[tuple[str, float, float], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the report: sentences, then plots, then tables. ``id`` is its anchor.

    ``hint`` stands where there is nothing yet. ``projected`` marks the whole part as computed.
    """

    id: str
    title: str
    sentences: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()
    tables: tuple[Table, ...] = ()
    hint: Hint | None = None
    projected: bool = False


@dataclass(frozen=True)
class Hint:
    """What stands in place of a part that is empty, and the command that fills it."""

    sentence: str
    command: str


@dataclass(frozen=True)
class Report:
    """The whole report. A part of which nothing was read is a ``Hint`` in its place.

    ``commands`` are pairs of a command and what it does. ``headline`` is three sentences: what was
    run where. ``sections`` are the further parts, in the order of the page.
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


def significant(value: float, digits: int = 3) -> str:
    """Write a number with three significant digits, as in 2,850 or 0.0123: runs carry no more."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = int(f"{rounded:e}".partition("e")[2])
    if not -4 <= exponent <= 11:
        return f"{value:.{digits - 1}e}"
    return f"{rounded:,.{max(0, digits - 1 - exponent)}f}"


def counted(number: int, what: str, several: str = "") -> str:
    """Return "1 file" or "2 files"; ``several`` where an s is not enough."""
    return f"{number} {what if number == 1 else several or f'{what}s'}"
