"""What each column of the compatibility table was made from: day, commit, bug data, unpinned versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from metalassay.report.model import NO_VALUE, counted
from metalassay.report.sections.compat_notes import moment
from metalassay.report.sections.compat_runs import Shown
from metalassay.results.verdict_file import VersionSet

UNKNOWN = "not recorded"
_NOT_RECORDED = "revision not recorded"
_COMMIT = 12  # hexadecimal digits; the whole commit is in the details of the column
_MOST_NAMES = 8

Fact = tuple[str, list[str]]


def revisions(shown: Sequence[Shown]) -> list[str] | None:
    """Return the revision of the bug data of each column, "" where there is nothing to judge.

    None if all are the same, or none was recorded.
    """
    found = [one.judged.origin.data or _NOT_RECORDED if one.judged else "" for one in shown]
    return found if len({one for one in found if one}) > 1 else None


def facts(shown: Sequence[Shown], data: Sequence[str] | None) -> Iterator[Fact]:
    """Yield the lines of the heads: when a column was recorded, and with what."""
    runs = [one.run for one in shown]
    yield "recorded (UTC)", [run.started.date().isoformat() if run else NO_VALUE for run in runs]
    yield "metalassay", [commit(run) if run else NO_VALUE for run in runs]
    if data:
        newest = _newest(shown, data)
        yield (
            "bug data",
            [NO_VALUE if not one else one if one == newest else _marked(one) for one in data],
        )


def other_data(
    shown: Sequence[Shown], labels: Sequence[str], data: Sequence[str] | None
) -> Iterator[str]:
    """Yield a sentence if columns were judged with another revision of the bug data than the newest."""
    if not data:
        return
    newest = _newest(shown, data)
    others: dict[str, list[str]] = {}
    for one, label in zip(data, labels, strict=True):
        if one and one != newest:
            others.setdefault(one, []).append(label)
    number, judged = sum(map(len, others.values())), sum(map(bool, data))
    lists = "; ".join(f"{one}: {_listed(names)}" for one, names in others.items())
    was = "was" if number == 1 else "were"
    yield (
        f"{number} of {counted(judged, 'column')} {was} judged with another revision of the bug data "
        f"than the newest, {newest} ({lists}); run them again to compare"
    )


def remarks(shown: Sequence[Shown], data: Sequence[str] | None) -> Iterator[str]:
    """Yield for the summary how many columns were judged with another revision of the bug data."""
    if data:
        newest = _newest(shown, data)
        others = sum(bool(one) and one != newest for one in data)
        yield f"{counted(others, 'set')} judged with other bug data"


def recorded(run: VersionSet) -> str:
    """Return when and with what a file was recorded, in full."""
    origin = run.origin
    return ", ".join(
        [
            moment(run.started),
            f"metalassay commit {origin.commit}" if origin.commit else "commit not recorded",
            *([f"bug data {origin.data}"] if origin.data else []),
            *([origin.interpreter] if origin.interpreter else []),
        ]
    )


def requirements(texts: Sequence[str]) -> Iterator[Requirement]:
    """Yield the requirements that have a name; pip accepts others, such as a path."""
    for text in texts:
        try:
            yield Requirement(text)
        except ValueError:  # InvalidRequirement, or a number with too many digits
            continue


def installed(run: VersionSet, package: str) -> str | None:
    """Return the version that was installed, None where there was none, or none was recorded."""
    if package in run.versions:
        return run.versions[package]
    if run.not_installable:
        return None
    pins = (pin.partition("==") for pin in run.origin.lock)
    name = canonicalize_name(package)
    return next((version for pin, _, version in pins if canonicalize_name(pin) == name), None)


def unpinned(run: VersionSet) -> dict[str, str]:
    """Return the packages that a set requires without ``==``, with what that meant on the day of the run.

    A set that could not be installed has none.
    """
    if run.not_installable:
        return {}
    return {
        wanted.name: installed(run, wanted.name) or UNKNOWN
        for wanted in requirements(run.requires)
        if not any(each.operator in ("==", "===") for each in wanted.specifier)
    }


def versions(shown: Sequence[Shown], stack: Sequence[str]) -> Iterator[Fact]:
    """Yield a line for each package of ``stack``, and for each other one that some set does not pin.

    A line has the versions that were installed, or those that could not be installed.
    """
    found = [unpinned(one.run) if one.run else {} for one in shown]
    for package in dict.fromkeys([*stack, *(name for each in found for name in each)]):
        yield (
            package,
            [
                f"{each[package]} (not pinned)"
                if package in each
                else _version(one, package, package in stack)
                for one, each in zip(shown, found, strict=True)
            ],
        )


def _version(one: Shown, package: str, always_recorded: bool) -> str:
    if one.run and (version := installed(one.run, package)):
        return version
    for wanted in requirements(one.requires):
        if wanted.name == package and (one.run is None or one.run.not_installable):
            return f"wanted {wanted.specifier or 'any'}"
    known = always_recorded or bool(one.run and one.run.origin.lock)
    return "not installed" if one.judged and known else NO_VALUE


def commit(run: VersionSet) -> str:
    """Return metalassay's commit for the head of a column, with a "+" if files were changed since."""
    whole = run.origin.commit
    if whole is None:
        return "commit not recorded"
    changed = "+" if whole.endswith("+") else ""
    return f"{whole.removesuffix('+')[:_COMMIT]}{changed}"


def _newest(shown: Sequence[Shown], data: Sequence[str]) -> str:
    return max(
        (one.started, revision) for one, revision in zip(shown, data, strict=True) if revision
    )[1]


def _marked(revision: str) -> str:
    return revision if revision == _NOT_RECORDED else f"{revision} (another)"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES + 1 else ""
    return f"{', '.join(names[:_MOST_NAMES] if more else names)}{more}"
