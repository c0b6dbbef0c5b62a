"""The compatibility table as the page shows it: several small tables, and each test output once.

Seventy version sets and as many bugs are five thousand cells, most of which were not tested. So sets with
related names share a table, a bug that none of them tested has no row in it, and what a test printed is
on the page once, however many cells rest on it. The content of a red cell is never cut.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from metalassay.report.model import SLOW, Cell, CompatTable, count, counted

_ONE_TABLE = 12  # columns that fit on a sheet of paper
_FAMILY = 3  # related sets that get a table of their own
_SHORT = 120  # characters: a longer text is not repeated in every cell
_MOST_TEXT = 900_000  # characters of test output on the page, not counting red cells
_OTHERS = "other sets"
_WORDS = (
    ("red", "RED"),
    ("broken", "broken"),
    ("patched", "broken with a patch that works"),
    ("fine", "fine"),
    ("untested", "not tested"),
    ("slow", SLOW),
)


@dataclass(frozen=True)
class Run:
    """A run of a test in a cell. ``number`` is the position of the test in the list of the bug's tests.

    ``text`` is what it printed, where the cell shows that. ``anchor`` is the number of a text that is
    elsewhere on the page; ``carries`` is the number by which other cells link to this one's text.
    Both are 0 where there is none.
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
    """An output of tests, and the version sets that gave it. Numbers start at 1."""

    number: int
    bug: int
    first_line: str
    text: str
    sets: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """A table of the page; columns, facts and rows are indices into the complete table.

    ``same`` are the facts that all columns share, as "name value"; the others are in ``facts``.
    ``counts`` summarises the cells; an ``unfolded`` table is open from the start.
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
    """The content of the page for a compatibility table.

    ``tests`` are the names of the tests of each row, ``runs`` the runs in each cell by row and column,
    ``reds`` the (row, column) of red cells. ``omitted`` counts the texts that the page has no room for.
    """

    groups: tuple[Group, ...]
    tests: tuple[tuple[str, ...], ...]
    runs: tuple[tuple[tuple[Run, ...], ...], ...]
    texts: tuple[Text, ...]
    reds: tuple[tuple[int, int], ...]
    omitted: int


def lay_out(compat: CompatTable) -> Matrix:
    """Return the tables of the page. Up to a dozen columns stay together, with every row."""
    tests = [_tests(row.cells) for row in compat.rows]
    places, texts, omitted = _texts(compat)
    runs = tuple(
        tuple(
            tuple(_runs(cell, (row, column), tests[row], places))
            for column, cell in enumerate(compat.rows[row].cells)
        )
        for row in range(len(compat.rows))
    )
    return Matrix(
        groups=tuple(_groups(compat)),
        tests=tuple(map(tuple, tests)),
        runs=runs,
        texts=tuple(texts),
        reds=tuple(_reds(compat)),
        omitted=omitted,
    )


def has_no_details(cell: Cell) -> bool:
    """Return whether there is nothing to unfold in a cell: its text is all that is known."""
    calm = cell.tone in ("untested", "clear")
    return not cell.evidence and calm and len(cell.text) <= _SHORT // 3


def family(name: str) -> str:
    """Return the part of a set's name before its version: "edge" for "edge-0.10.0"."""
    return re.split(r"\d", name, maxsplit=1)[0].rstrip("-_. ") or name


def _groups(compat: CompatTable) -> Iterator[Group]:
    all_columns = tuple(range(len(compat.columns)))
    if len(all_columns) <= _ONE_TABLE:
        yield _group(compat, "", all_columns, tuple(range(len(compat.rows))))
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
            group = _group(compat, title, chosen, tuple(_with_results(compat, chosen)))
            yield replace(group, unfolded=chosen[0] == 0 or "RED" in group.counts)


def _with_results(compat: CompatTable, columns: Sequence[int]) -> Iterator[int]:
    for index, row in enumerate(compat.rows):
        cells = [row.cells[column] for column in columns]
        if any(
            not (has_no_details(cell) or cell.tone in ("absent", "unreadable", "unfinished"))
            for cell in cells
        ):
            yield index


def _group(
    compat: CompatTable, name: str, columns: tuple[int, ...], rows: tuple[int, ...]
) -> Group:
    values = [
        {compat.columns[column].facts[fact] for column in columns}
        for fact in range(len(compat.fact_names))
    ]
    shared = [fact for fact, seen in enumerate(values) if len(seen) == 1 and len(columns) > 1]
    return Group(
        name=name,
        columns=columns,
        facts=tuple(fact for fact in range(len(values)) if fact not in shared),
        same=tuple(f"{compat.fact_names[fact]} {next(iter(values[fact]))}" for fact in shared),
        rows=rows,
        left_out=_left_out(compat, columns, rows),
        counts=_counts(compat, columns),
        unfolded=True,
    )


def _counts(compat: CompatTable, columns: Sequence[int]) -> str:
    """Count the cells of a group by verdict, the red ones first."""
    chosen = (tuple(row.cells[column] for column in columns) for row in compat.rows)
    tones = count(cell for cells in chosen for cell in cells)
    counts = [f"{tones[tone]} {word}" for tone, word in _WORDS if tones[tone]]
    states = Counter(compat.columns[column].state for column in columns)
    counts += [f"{number} {state}" for state, number in states.items() if state]
    return f"{counted(len(columns), 'set')}: {', '.join(counts) or 'no bug was tested'}"


def _left_out(compat: CompatTable, columns: Sequence[int], rows: Sequence[int]) -> str:
    missing = [row for index, row in enumerate(compat.rows) if row.known and index not in set(rows)]
    if not missing:
        return ""
    reasons = {
        cell.why or "no reason recorded"
        for row in missing
        for cell in (row.cells[column] for column in columns)
        if cell.tone == "untested"
    }
    why = f" ({'; '.join(sorted(reasons))})" if reasons else ""
    has, it = ("has", "it") if len(missing) == 1 else ("have", "them")
    bugs = counted(len(missing), "bug")
    return f"{bugs} {has} no row here, because none of these sets tested {it}{why}."


def _tests(cells: Iterable[Cell]) -> list[str]:
    return list(dict.fromkeys(run.test for cell in cells for run in cell.evidence))


def _reds(compat: CompatTable) -> Iterator[tuple[int, int]]:
    for row, bug in enumerate(compat.rows):
        for column, cell in enumerate(bug.cells):
            if cell.tone == "red":
                yield row, column


@dataclass(frozen=True)
class _Place:
    """Where a text is on the page: in the red cell ``cell`` (row, column), or in the list of texts."""

    number: int
    cell: tuple[int, int] | None


def _texts(compat: CompatTable) -> tuple[dict[str, _Place], list[Text], int]:
    """Assign each long text to one place: the first red cell with it, or else the list of texts."""
    places: dict[str, _Place] = {}
    for row, column in _reds(compat):
        for run in compat.rows[row].cells[column].evidence:
            if len(run.text) > _SHORT:
                places.setdefault(run.text, _Place(len(places) + 1, (row, column)))
    listed: dict[str, tuple[int, dict[str, None]]] = {}
    for row, bug in enumerate(compat.rows):
        for version_set, cell in zip(compat.columns, bug.cells, strict=True):
            for run in cell.evidence:
                if len(run.text) > _SHORT and run.text not in places:
                    listed.setdefault(run.text, (row, {}))[1][version_set.id] = None
    texts = []
    room = _MOST_TEXT
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
    for run in cell.evidence:
        place = places.get(run.text)
        here = place is not None and place.cell == at and run.text not in shown
        shown.add(run.text)
        yield Run(
            number=tests.index(run.test) + 1,
            test=run.test,
            upstream=run.upstream,
            outcome=run.outcome,
            seconds=run.seconds,
            symptom=run.symptom,
            text=run.text if here or len(run.text) <= _SHORT else "",
            anchor=place.number if place and not here else 0,
            carries=place.number if place and here else 0,
        )


def omitted_note(matrix: Matrix) -> str:
    """Return a sentence about the texts that the page has no room for, empty if there are none."""
    if not matrix.omitted:
        return ""
    outputs = counted(matrix.omitted, "output")
    return f"{outputs} of tests that are not red can be found in the verdict files only."
