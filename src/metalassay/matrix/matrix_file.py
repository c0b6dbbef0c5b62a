"""Reads matrix.toml: the version sets to test, and what the other nox sessions install.

noxfile.py imports this module in nox's own environment: it takes the standard library and packaging only.
"""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Collection, Container, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from metalassay import bugs as known_bugs
from metalassay import pep440
from metalassay.errors import UserError
from metalassay.fields import Field, FieldError, first_line
from metalassay.files import read_toml

FILE = "matrix.toml"
QUICK, MPS = "quick", "quick-mps"
"""The tags of the rows that `nox` alone runs: everywhere, and where there is MPS."""
COMPAT, SMOKE = RUNS = "compat", "smoke"
"""What a row can run: the suite of known bugs, or a few steps with each package (``metalassay.smoke``)."""


@dataclass(frozen=True)
class Row:
    """One version set; matrix.toml explains the fields.

    ``pythons`` are the versions of Python that have wheels for all of ``requires``, the preferred one first;
    none, which no row of the file has, means the one that runs this. ``installs`` is false for a row whose requirements are known to contradict each other. ``needs`` names
    what a worker of a fleet must offer to run it, and ``runs`` is one of ``RUNS``.
    """

    id: str
    requires: tuple[str, ...]
    reason: str
    tags: tuple[str, ...]
    pythons: tuple[str, ...] = ()
    bugs: tuple[str, ...] = ()
    installs: bool = True
    needs: tuple[str, ...] = ()
    runs: str = COMPAT

    def record(self) -> dict[str, Any]:
        """Return the fields that a verdict file stores."""
        return {
            "id": self.id,
            "python": list(self.pythons)
            if len(self.pythons) > 1
            else next(iter(self.pythons), None),
            "requires": list(self.requires),
            "reason": self.reason,
            "tags": list(self.tags),
            **({"runs": self.runs} if self.runs != COMPAT else {}),
        }

    def packages(self) -> set[str]:
        """Return the names of what it requires; a path has none."""
        return {Requirement(each).name for each in self.requires if not _is_path(each)}


def marks(tags: Container[str]) -> str:
    """Return the marks that a row with these tags runs, as pytest's -m reads them; "" for every test."""
    if MPS in tags:
        return "mps and not long"
    return "not slow" if QUICK in tags else ""


def why_not_here(row: Row) -> str:
    """Return why a row cannot run on this machine, which lacks what it needs; "" where it can."""
    system = f"{platform.system()} {platform.machine()}"
    if "mps" not in row.needs or system == "Darwin arm64":
        return ""
    return f"needs MPS, which only a Mac with Apple silicon has; this is {system}"


AS_INSTALLED = Row(
    "as installed", (), "the present environment, which is not a row of the matrix", ()
)


@dataclass(frozen=True)
class Upstream:
    """The table [upstream]: releases whose own tests are run, stock and patched.

    ``requires`` is installed beside each release, ``rows`` maps the id of a release to what it adds.
    ``left_out`` has the tests that are not run, each with its "test" and "reason".
    """

    requires: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    left_out: tuple[Mapping[str, str], ...] = ()
    rows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Matrix:
    """The whole file: rows by id, in the order of the file, and requirements by nox session.

    ``pythons`` has those that a session's requirements have wheels for, where the file names them.
    """

    rows: Mapping[str, Row]
    requires: Mapping[str, tuple[str, ...]]
    upstream: Upstream
    pythons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def by_default(self) -> list[Row]:
        """Return the rows that `nox` alone runs on this machine."""
        quick = [row for row in self.rows.values() if {QUICK, MPS} & set(row.tags)]
        return [row for row in quick if not why_not_here(row)]


def get(root: Path, row_id: str | None) -> Row:
    """Return a row of ``root``/matrix.toml; without an id, one for the present environment.

    Raises ``UserError`` for an id that the file does not have.
    """
    if row_id is None:
        return AS_INSTALLED
    rows = load(root).rows
    if row_id not in rows:
        raise UserError(f"{FILE} has no row {row_id!r}", "list the rows with: nox -l")
    return rows[row_id]


def load(root: Path, sessions: Collection[str] = ()) -> Matrix:
    """Read ``root``/matrix.toml; the tables of these nox ``sessions`` must be in it.

    Raises ``UserError`` when the file is missing, is not TOML, or has a field that nothing can use. The
    message names the row and the field.
    """
    path = root / FILE
    try:
        path.lstat()
    except FileNotFoundError:
        raise UserError(f"{path} is missing", "run this in a checkout of metalassay") from None
    except OSError:
        pass  # reading it says why
    top = Field(
        read_toml(path, "fix it, or undo all changes: git checkout matrix.toml", most=_MOST)
    )
    try:
        tables = _tables(top)
        for name in sorted(sessions):
            top.get(name).get("requires")
        return Matrix(
            _by_id(_all_rows(top)),
            {name: _requires(table.get("requires")) for name, table in tables.items()},
            _upstream(top.find("upstream")),
            {
                name: _pythons(table, f"[{name}]")
                for name, table in tables.items()
                if table.find("python").value is not None
            },
        )
    except FieldError as error:
        raise UserError(f"{path}: {error}", "fix the row") from None


def _by_id(rows: Iterator[tuple[Field, Row]]) -> dict[str, Row]:
    """Return the rows by their ids, which also name files and folders."""
    found: dict[str, Row] = {}
    folders: set[str] = set()
    for place, row in rows:
        if row.id in found:
            raise FieldError(f"{place.place}: two rows have the id {row.id!r}")
        found[row.id] = row
        folder = row.id.replace(".", "-").casefold()  # a Mac's file system ignores the case
        if folder in folders:
            raise FieldError(
                f"{place.place}: the id {row.id!r} is another row's but for '.', '-' or case"
            )
        folders.add(folder)
    return found


_MOST = 2**20  # bytes; the file has 50 thousand
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ROW = {"id", "requires", "reason", "tags", "python", "bugs", "installs", "needs", "runs"}
_FRESH = {"package", "with", "versions", "python"}
_SESSION = {"requires", "python"}
_UPSTREAM = {"requires", "tests", "left_out", "row"}


def _all_rows(top: Field) -> Iterator[tuple[Field, Row]]:
    """Yield every row with its place in the file: those of [[row]], then those that [[fresh]] expands to."""
    for place in top.get("row").each():
        name = _id(place)
        try:
            yield place, _row(place, name)
        except FieldError as error:  # counting the rows up to the place is for programs
            raise FieldError(f"{error} (row {name})") from None
    for table in top.find("fresh").or_none(Field.each) or ():
        for row in _fresh(table):
            yield table, row


def _fresh(table: Field) -> Iterator[Row]:
    """Yield a row for each version of one package, beside the newest of others."""
    _refuse_unknown(table, _FRESH, "a fresh table")
    package, others = table.get("package").name(), _requires(table.get("with"))
    if not _PACKAGE.fullmatch(package):
        raise table.get("package").wrong("the name of a package")
    pythons = _pythons(table, f"the fresh table of {package}")
    versions = [*table.get("versions").each()]
    if not versions:
        raise table.get("versions").wrong(f"a version of {package} or more")
    for place in versions:
        version = place.name()
        if not pep440.is_version(version):
            raise place.wrong(f"a version of {package}")
        yield Row(
            id=_checked_id(f"fresh-{package}-{version}", place),
            requires=(f"{package}=={version}", *others),
            reason=f"{package} {version}, and today's newest of everything else that it allows",
            tags=("fresh",),
            pythons=pythons,
            runs=SMOKE,
        )


def _refuse_unknown(table: Field, known: Set[str], what: str) -> None:
    unknown = sorted(set(table.value if isinstance(table.value, dict) else ()) - known)
    if unknown:
        raise FieldError(
            f"{table.place}: unknown key {unknown[0]!r}; {what} has {', '.join(sorted(known))}"
        )


def _id(row: Field) -> str:
    return _checked_id(row.get("id").name(), row)


def _checked_id(name: str, place: Field) -> str:
    if not _ID.fullmatch(name):  # it names files and folders, and stands in commands
        raise FieldError(
            f"{place.place}: the id {_short(name)} has another character than letters, digits, '.', '_' and"
            " '-', does not begin with a letter or digit, or has more than 100 characters"
        )
    return name


def _row(row: Field, name: str) -> Row:
    _refuse_unknown(row, _ROW, "a row")
    requires = _requires(row.get("requires"))
    if not requires:
        raise row.get("requires").wrong("a requirement or more")
    return Row(
        id=name,
        requires=requires,
        reason=row.get("reason").name(),
        tags=_names(row.get("tags")),
        pythons=_pythons(row, f"row {name}"),
        bugs=row.find("bugs").or_none(_bugs) or (),
        installs=row.find("installs").value is None or row.get("installs").flag(),
        needs=_resources(row.find("needs")),
        runs=row.find("runs").or_none(lambda value: value.one_of(RUNS)) or COMPAT,
    )


def _bugs(values: Field) -> tuple[str, ...]:
    """Return the ids of known bugs; one that is none would only fail when the row has been installed."""
    known = {bug.id for bug in known_bugs.load()}
    for value in values.each():
        if value.name() not in known:
            raise value.wrong("the id of a known bug, as metalassay explain --list has them")
    return _names(values)


_PYTHON = re.compile(r"3\.[0-9]{1,2}")
_PACKAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def _pythons(table: Field, what: str) -> tuple[str, ...]:
    """Return the versions of Python of a row: one as in "3.11", or a list of them."""
    given = table.find("python")
    if given.value is None:
        raise FieldError(
            f'{table.place}: {what} names no Python with wheels for its pins, as in python = "3.11"'
        )
    several = isinstance(given.value, list)
    names = tuple(each.name() for each in given.each()) if several else (given.name(),)
    if not names:
        raise FieldError(f"{given.place}: {what} names no Python")
    for name in names:
        if not _PYTHON.fullmatch(name):
            raise FieldError(
                f"{given.place}: {_short(name)} is not a version of Python such as '3.11'"
            )
    return names


def _requires(values: Field) -> tuple[str, ...]:
    """Return requirements as in PEP 508; paths such as ``./a/path`` are passed on unread."""
    for value in values.each():
        text = value.name()
        if _is_path(text):
            continue
        try:
            specifier = Requirement(text).specifier
        except (InvalidRequirement, RecursionError) as error:  # a marker may have many brackets
            why = first_line(error)[:200]
            raise FieldError(f"{value.place}: {_short(text)} is not a requirement: {why}") from None
        for one in specifier:
            if not pep440.is_version(one.version.removesuffix(".*")):
                raise FieldError(
                    f"{value.place}: {_short(text)} is not a requirement: {_short(one.version)} is no version"
                )
        if len({one.version for one in specifier if one.operator == "=="}) > 1:
            raise FieldError(f"{value.place}: {_short(text)} asks for two versions at once")
    return _names(values)


def _is_path(requirement: str) -> bool:
    return requirement.startswith(("./", "../", "/"))


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def _resources(values: Field) -> tuple[str, ...]:
    """Return the names of what a worker must offer; Dask would read a "=" or a space as more than a name."""
    names = values.or_none(_names) or ()
    for name in names:
        if not re.fullmatch(r"[\w.-]{1,100}", name):
            raise FieldError(f"{values.place}: {_short(name)} is not a name such as 'mps'")
    return names


def _upstream(table: Field) -> Upstream:
    if table.value is None:
        return Upstream()
    _refuse_unknown(table, _UPSTREAM, "[upstream]")
    rows = [(row, _id(row)) for row in table.get("row").each()]
    twice = [name for name, times in Counter(name for _, name in rows).items() if times > 1]
    if twice:
        raise FieldError(f"upstream.row: two rows have the id {twice[0]!r}")
    return Upstream(
        requires=_requires(table.get("requires")),
        tests=_names(table.get("tests")),
        left_out=tuple(
            {key: test.get(key).name() for key in ("test", "reason")}
            for test in table.get("left_out").each()
        ),
        rows={name: _requires(row.get("requires")) for row, name in rows},
    )


def _tables(top: Field) -> dict[str, Field]:
    """Return the tables of the nox sessions, as ``[bench]``."""
    tables = top.value if isinstance(top.value, dict) else {}
    sessions = {name: top.get(name) for name in tables if name not in ("row", "fresh")}
    for name, table in sessions.items():
        if not isinstance(table.value, dict):
            raise table.wrong("the table of a nox session")
        if name != "upstream":
            _refuse_unknown(table, _SESSION, "the table of a nox session")
    return sessions


def _names(values: Field) -> tuple[str, ...]:
    return tuple(value.name() for value in values.each())
