"""Which run each column of the compatibility table shows, and which later runs it does not show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import datetime

from metalassay.machine.hardware import Hardware
from metalassay.results.unfinished import Unfinished
from metalassay.results.verdict_file import VersionSet, run_key, same_set


@dataclass(frozen=True)
class Shown:
    """One column: a run, or where there is none, only the mark of a run that did not finish.

    ``unfinished`` is a later run of the same row that left no verdicts, ``beside`` a later run of a
    part of the tests, which is not in the column.
    """

    run: VersionSet | None
    unfinished: Unfinished | None = None
    beside: VersionSet | None = None

    @property
    def id(self) -> str:
        """The name of the row of the matrix."""
        return self._one.id

    @property
    def started(self) -> datetime:
        """When the run began, in UTC."""
        return self._one.started

    @property
    def file(self) -> str:
        """The verdict file, or the mark."""
        return self._one.file

    @property
    def requires(self) -> tuple[str, ...]:
        """The requirements of the row; none for an environment that is not a row of the matrix."""
        return self._one.requires

    @property
    def hardware(self) -> Hardware | None:
        """What is known of the machine."""
        return self._one.hardware

    @property
    def judged(self) -> VersionSet | None:
        """The run, if it has verdicts that can be trusted; else None."""
        run = self.run
        return None if run is None or run.not_installable or run.distrusted else run

    @property
    def _one(self) -> VersionSet | Unfinished:
        one = self.run or self.unfinished
        if one is None:
            raise ValueError("a column needs a run or a mark")
        return one


def choose(
    sets: Iterable[VersionSet], unfinished: Iterable[Unfinished] = ()
) -> tuple[list[Shown], int]:
    """Return the columns, in no order, and the number of older runs that have none.

    Of several runs of the same set and versions on one machine, the latest whole one is shown. A partial
    run has a column only where there is no whole one.
    """
    everything = list(sets)
    latest: dict[object, VersionSet] = {}
    for one in sorted(everything, key=lambda s: (s.started, s.file)):
        latest[run_key(one)] = one
    older = len(everything) - len(latest)
    columns = {same_set(one): Shown(one) for one in latest.values() if not one.selection.partial}
    for one in latest.values():
        if not one.selection.partial:
            continue
        whole = columns.get(same_set(one))
        if whole is None:
            columns[same_set(one)] = Shown(one)
        elif one.started > whole.started:
            columns[same_set(one)] = replace(whole, beside=one)
        else:
            older += 1
    shown = list(columns.values())
    for mark in sorted(unfinished, key=lambda m: (m.started, m.file)):
        _attach(mark, shown)
    return shown, older


def _attach(mark: Unfinished, columns: list[Shown]) -> None:
    """Put a mark on the column that it is about, or give it one; an old mark means nothing."""
    row = [at for at, one in enumerate(columns) if one.id == mark.id]
    beside = [at for at in row if _place(columns[at].file) == _place(mark.file)]
    if not beside:
        # The file beside it was replaced by one from elsewhere, or there never was one.
        same = [at for at in row if _may_be_same(columns[at].hardware, mark.hardware)]
        beside = [at for at in same if columns[at].started >= mark.started]
        beside += [at for at in same if columns[at].run is None]
    if not beside:
        columns.append(Shown(None, mark))
        return
    at = max(beside, key=lambda at: columns[at].started)
    if mark.started > columns[at].started:
        columns[at] = replace(columns[at], unfinished=mark)


def _place(file: str) -> str:
    """Return what a verdict file shares with the mark beside it: the path without the suffix."""
    return file.rpartition(".")[0]


def _may_be_same(one: Hardware | None, other: Hardware | None) -> bool:
    """Return whether two records may be of one machine: where both say something, they agree."""
    if one is None or other is None:
        return True
    return all(
        getattr(one, each.name) == getattr(other, each.name)
        for each in fields(Hardware)
        if each.name != "release"
        and None not in (getattr(one, each.name), getattr(other, each.name))
    )
