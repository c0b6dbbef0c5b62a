"""The compatibility table as the page shows it: small tables instead of one, each text said once.

Seventy version sets and as many bugs are five thousand cells, and most of them say that nothing ran.
So sets with related names stand together, a bug without a result among them has no row there, and
what a test printed stands once, however many cells rest on it. What a red cell says is never cut.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from metalassay.report.model import Cell, CompatTable, counted

_ONE_TABLE = 12  # columns: as many fit on a sheet of paper
_FAMILY = 3  # sets of the same name that deserve a table of their own
_SHORT = 120  # characters: a text no longer than this stands in its cell
_LONGEST = 900_000  # characters of evidence on the page, those of red cells not counted
_OTHERS = "other sets"
_WORDS = (
    ("red", "RED"),
    ("broken", "broken"),
    ("patched", "broken with a patch that works"),
    ("fine", "fine"),
    ("untested", "not tested"),
)


@dataclass(frozen=True)
class Run:
    """A run of a test in a cell. ``number`` is the test's place in the list of the bug's tests.

    ``text`` stands in the cell; ``anchor`` is the number of the text that stands elsewhere, and
    ``carries`` the one under which other cells find the text of this one. 0 where there is none.
    """

    number: int
    test: str
    upstream: str
    outcome: str
    seconds: str
    symptom: str
    text: str = ""
    anchor: int = 0
    carries: int = 0


@dataclass(frozen=True)
class Text:
    """What tests printed, once; ``sets`` are the version sets in which they did. Numbers start at 1."""

    number: int
    bug: int
    first_line: str
    text: str
    sets: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """A table of the page: columns, facts and rows are places in the whole one.

    ``same`` are the facts that hold for all columns, as "name value"; the others are in ``facts``.
    ``counts`` says what the cells come to; ``unfolded`` where it is to be seen at once.
    """

    name: str
    columns: tuple[int, ...]
    facts: tuple[int, ...]
    same: tuple[str, ...]
    rows: tuple[int, ...]
    left_out: str
    counts: str
    unfolded: bool


@dataclass(frozen=True)
class Matrix:
    """What the page shows of a compatibility table.

    ``tests`` are the names of the tests of each row; ``runs`` the runs in each cell, by row and
    column. ``reds`` are the places (row, column) of red cells. ``dropped`` counts texts that the page
    has no room for: their files have them.
    """

    groups: tuple[Group, ...]
    tests: tuple[tuple[str, ...], ...]
    runs: tuple[tuple[tuple[Run, ...], ...], ...]
    texts: tuple[Text, ...]
    reds: tuple[tuple[int, int], ...]
    dropped: int


def lay_out(compat: CompatTable) -> Matrix:
    """Return the tables of the page. A dozen columns or fewer stay together, with every row."""
    tests = [_tests(row.cells) for row in compat.rows]
    places, texts, dropped = _texts(compat)
    runs = tuple(
        tuple(
            tuple(_runs(cell, (row, column), tests[row], places))
            for column, cell in enumerate(compat.rows[row].cells)
        )
        for row in range(len(compat.rows))
    )
    return Matrix(
        groups=tuple(_groups(compat)),
        tests=tuple(tuple(each) for each in tests),
        runs=runs,
        texts=tuple(texts),
        reds=tuple(_reds(compat)),
        dropped=dropped,
    )


def says_all(cell: Cell) -> bool:
    """Tell whether a cell's word is all there is to say, so that there is nothing to open."""
    return not cell.evidence and cell.tone == "untested" and len(cell.text) <= _SHORT // 3


def family(name: str) -> str:
    """Return the part of a set's name before its version: "edge" of "edge-0.10.0"."""
    return re.split(r"\d", name, maxsplit=1)[0].rstrip("-_. ") or name


def _groups(compat: CompatTable) -> Iterator[Group]:
    everything = tuple(range(len(compat.columns)))
    if len(everything) <= _ONE_TABLE:
        yield _group(compat, "", everything, tuple(range(len(compat.rows))))
        return
    sizes = Counter(family(column.id) for column in compat.columns)
    members: dict[str, list[int]] = {}
    for index, column in enumerate(compat.columns):
        name = family(column.id)
        members.setdefault(name if sizes[name] >= _FAMILY else _OTHERS, []).append(index)
    others = members.pop(_OTHERS, [])
    for name, indices in [*members.items(), *([(_OTHERS, others)] if others else [])]:
        parts = -(-len(indices) // _ONE_TABLE)
        size = -(-len(indices) // parts)
        for part in range(parts):
            chosen = tuple(indices[part * size : (part + 1) * size])
            title = f"{name} ({part + 1} of {parts})" if parts > 1 else name
            made = _group(compat, title, chosen, tuple(_with_results(compat, chosen)))
            yield replace(made, unfolded=chosen[0] == 0 or "RED" in made.counts)


def _with_results(compat: CompatTable, columns: Sequence[int]) -> Iterator[int]:
    for index, row in enumerate(compat.rows):
        cells = [row.cells[column] for column in columns]
        if any(not (says_all(cell) or cell.tone in ("absent", "unreadable")) for cell in cells):
            yield index


def _group(
    compat: CompatTable, name: str, columns: tuple[int, ...], rows: tuple[int, ...]
) -> Group:
    values = [
        {compat.columns[column].facts[fact] for column in columns}
        for fact in range(len(compat.fact_names))
    ]
    alike = [fact for fact, found in enumerate(values) if len(found) == 1 and len(columns) > 1]
    return Group(
        name=name,
        columns=columns,
        facts=tuple(fact for fact in range(len(values)) if fact not in alike),
        same=tuple(f"{compat.fact_names[fact]} {next(iter(values[fact]))}" for fact in alike),
        rows=rows,
        left_out=_left_out(compat, columns, rows),
        counts=_counts(compat, columns),
        unfolded=True,
    )


def _counts(compat: CompatTable, columns: Sequence[int]) -> str:
    """Say what the cells of a group come to, the red ones first."""
    tones = Counter(row.cells[column].tone for row in compat.rows for column in columns)
    said = [f"{tones[tone]} {word}" for tone, word in _WORDS if tones[tone]]
    return f"{counted(len(columns), 'set')}: {', '.join(said) or 'none could be installed'}"


def _left_out(compat: CompatTable, columns: Sequence[int], rows: Sequence[int]) -> str:
    missing = [row for index, row in enumerate(compat.rows) if index not in set(rows)]
    if not missing:
        return ""
    reasons = {
        cell.why or "no reason recorded"
        for row in missing
        for cell in (row.cells[column] for column in columns)
        if cell.tone == "untested"
    }
    said = f": {'; '.join(sorted(reasons))}" if reasons else ""
    have, it = ("bug has", "it") if len(missing) == 1 else ("bugs have", "them")
    return f"{len(missing)} {have} no row here, because none of these sets tested {it}{said}."


def _tests(cells: Iterable[Cell]) -> list[str]:
    return list(dict.fromkeys(each.test for cell in cells for each in cell.evidence))


def _reds(compat: CompatTable) -> Iterator[tuple[int, int]]:
    for row, bug in enumerate(compat.rows):
        for column, cell in enumerate(bug.cells):
            if cell.tone == "red":
                yield row, column


@dataclass(frozen=True)
class _Place:
    """Where a text stands: in the red cell ``cell`` (row, column), or in the list of texts."""

    number: int
    cell: tuple[int, int] | None


def _texts(compat: CompatTable) -> tuple[dict[str, _Place], list[Text], int]:
    """Give every long text one place: the first red cell that rests on it, or the list."""
    places: dict[str, _Place] = {}
    for row, column in _reds(compat):
        for each in compat.rows[row].cells[column].evidence:
            if len(each.text) > _SHORT:
                places.setdefault(each.text, _Place(len(places) + 1, (row, column)))
    listed: dict[str, tuple[int, dict[str, None]]] = {}
    for row, bug in enumerate(compat.rows):
        for version_set, cell in zip(compat.columns, bug.cells, strict=True):
            for each in cell.evidence:
                if len(each.text) > _SHORT and each.text not in places:
                    listed.setdefault(each.text, (row, {}))[1][version_set.id] = None
    texts = []
    room = _LONGEST
    for text, (row, sets) in listed.items():
        room -= len(text)
        if room < 0:
            continue
        places[text] = _Place(len(places) + 1, None)
        first = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
        texts.append(Text(places[text].number, row, first[:90], text, tuple(sets)))
    return places, texts, len(listed) - len(texts)


def _runs(
    cell: Cell, at: tuple[int, int], tests: Sequence[str], places: dict[str, _Place]
) -> Iterator[Run]:
    shown: set[str] = set()
    for each in cell.evidence:
        place = places.get(each.text)
        here = place is not None and place.cell == at and each.text not in shown
        shown.add(each.text)
        yield Run(
            number=tests.index(each.test) + 1,
            test=each.test,
            upstream=each.upstream,
            outcome=each.outcome,
            seconds=each.seconds,
            symptom=each.symptom,
            text=each.text if here or len(each.text) <= _SHORT else "",
            anchor=place.number if place and not here else 0,
            carries=place.number if place and here else 0,
        )


def dropped_note(matrix: Matrix) -> str:
    """Return the sentence about texts that the page has no room for; empty if it has all."""
    if not matrix.dropped:
        return ""
    return f"{counted(matrix.dropped, 'text')} of tests that are not red stand in their files only."
