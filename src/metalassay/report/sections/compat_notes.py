"""What the compatibility table says of runs that are not whole, or that left nothing to show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from metalassay.bugs import verdict
from metalassay.fields import one_line
from metalassay.report.model import counted
from metalassay.report.sections.compat_runs import Shown
from metalassay.results.verdict_file import VersionSet

_MOST_REDS = 5


def moment(when: datetime) -> str:
    """Return a time to the minute, as in "2026-11-28 10:03 UTC"."""
    return f"{when.isoformat(' ')[:16]} UTC"


def command(one: Shown) -> str:
    """Return the command that runs the whole of a row again."""
    # Without requirements it is an environment that is not a row of the matrix.
    return f'nox -s "compat({one.id})"' if one.requires else "pytest compat --verdicts FILE"


def mark(one: Shown) -> str:
    """Return what the head of a column says if it is not the whole and latest run; else ""."""
    if one.run is None:
        return "not finished"
    marks = []
    if one.run.selection.partial:
        marks.append(f"partial: {one_line(one.run.selection.partial)}")
    if one.unfinished:
        marks.append("last run did not finish")
    if one.beside:
        marks.append("partial run beside it")
    return "; ".join(marks)


def selection(run: VersionSet) -> str:
    """Return which tests were left out of a run, "" if none were."""
    parts = []
    if run.selection.partial:
        parts.append(f"partial: {run.selection.partial}")
    if run.selection.deselected:
        parts.append(f"{counted(run.selection.deselected, 'test')} left out")
    if parts and run.selection.arguments:
        parts.append(f"pytest {' '.join(run.selection.arguments)}")
    return one_line("; ".join(parts))


def not_whole(shown: Sequence[Shown], labels: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each run that did not finish or is partial, with the command for a whole one.

    ``labels`` are the names of the columns, which are told apart by machine where there are several.
    """
    named = list(zip(shown, labels, strict=True))
    for one, label in named:
        if one.unfinished:
            yield _unfinished(one, label)
    for one, label in named:
        if one.run and one.run.selection.partial:
            left_out = one.run.selection.deselected
            tests = f", {counted(left_out, 'test')} left out" if left_out else ""
            why = one_line(one.run.selection.partial)
            yield (
                f"{label}: this is a partial run ({why}{tests}), and there is no whole one; "
                f"next: {command(one)}"
            )
        if one.beside:
            yield _beside(one, one.beside, label)


def without_verdicts(shown: Sequence[Shown], labels: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each set that could not be installed, and each file that is not believed."""
    named = list(zip(shown, labels, strict=True))
    for one, label in named:
        if one.run and one.run.not_installable:
            yield f"{label} is not installable: {one.run.not_installable}"
    for one, label in named:
        if one.run and one.run.distrusted:
            yield (
                f"{label} is not shown because its file contradicts itself: {one.run.distrusted} "
                f"({one.file})"
            )


def remarks(shown: Sequence[Shown]) -> Iterator[str]:
    """Yield for the summary how many columns are not the whole and latest run of their rows."""
    if partial := sum(bool(one.run and one.run.selection.partial) for one in shown):
        yield f"{counted(partial, 'set')} partial"
    if unfinished := sum(bool(one.run and one.unfinished) for one in shown):
        yield f"{counted(unfinished, 'set')} whose last run did not finish"
    if beside := [one.beside for one in shown if one.beside]:
        red = sum(len(_reds(run)) for run in beside)
        yield f"{counted(len(beside), 'newer partial run')} not in the table ({red} RED)"


def _unfinished(one: Shown, label: str) -> str:
    last = one.unfinished
    if last is None:
        raise ValueError("no run is marked as unfinished")
    failed = f"{moment(last.started)}, did not finish: {one_line(last.why)}"
    if one.run is None:
        return f"{label}: its last run, {failed}; there is no earlier one; next: {command(one)}"
    day = one.started.date().isoformat()
    return f"{label}: its last run, {failed}; the column is of {day}; next: {command(one)}"


def _beside(one: Shown, partial: VersionSet, label: str) -> str:
    reds = _reds(partial)
    found = f"{len(reds)} RED"
    if reds:
        more = f" and {len(reds) - _MOST_REDS} more" if len(reds) > _MOST_REDS else ""
        found += f": {', '.join(reds[:_MOST_REDS])}{more}"
    if partial.distrusted:
        found = f"its file contradicts itself: {partial.distrusted}"
    why = one_line(partial.selection.partial)
    return (
        f"{label}: a partial run ({why}) of {moment(partial.started)} is newer than the column, which is "
        f"of {one.started.date().isoformat()}, and is not in it: {found} ({partial.file}); "
        f"next: {command(one)}"
    )


def _reds(run: VersionSet) -> list[str]:
    """Return what is red in a run, as in "accelerate-empty-shard (unexplained)"."""
    if run.distrusted:
        return []
    bugs = [f"{bug.id} ({bug.verdict})" for bug in run.bugs if bug.verdict in verdict.RED]
    return [*bugs, *(f"{failure.test} ({failure.outcome})" for failure in run.other_failures)]
