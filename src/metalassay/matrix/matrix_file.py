"""Reads matrix.toml: the version sets to test, and what the other nox sessions install.

noxfile.py imports this module in nox's own environment: it takes the standard library and packaging only.
"""

from __future__ import annotations

import platform
import re
import tomllib
from collections.abc import Container, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from metalassay.errors import UserError, reason
from metalassay.fields import Field, FieldError

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


def load(root: Path) -> Matrix:
    """Read ``root``/matrix.toml.

    Raises ``UserError`` when the file is missing, is not TOML, or lacks a field.
    """
    path = root / FILE
    try:
        with path.open("rb") as stream:
            top = Field(tomllib.load(stream))
    except FileNotFoundError:
        raise UserError(f"{path} is missing", "run this in a checkout of metalassay") from None
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}", "git checkout matrix.toml") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text", "git checkout matrix.toml") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: {error}", "fix the line") from None
    folders: set[str] = set()
    try:
        rows: dict[str, Row] = {}
        for place, row in _all_rows(top):
            if row.id in rows:
                raise FieldError(f"{place.place}: two rows have the id {row.id!r}")
            rows[row.id] = row
            folder = row.id.replace(".", "-").casefold()  # a Mac's file system ignores the case
            if folder in folders:
                raise FieldError(
                    f"{place.place}: the id {row.id!r} is another row's but for '.', '-' or case"
                )
            folders.add(folder)
        tables = _tables(top)
        return Matrix(
            rows,
            {name: _names(table.get("requires")) for name, table in tables.items()},
            _upstream(top.find("upstream")),
            {
                name: _pythons(table, f"[{name}]")
                for name, table in tables.items()
                if table.find("python").value is not None
            },
        )
    except FieldError as error:
        raise UserError(f"{path}: {error}", "fix the row") from None


_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ROW = {"id", "requires", "reason", "tags", "python", "bugs", "installs", "needs", "runs"}
_FRESH = {"package", "with", "versions", "python"}


def _all_rows(top: Field) -> Iterator[tuple[Field, Row]]:
    """Yield every row with its place in the file: those of [[row]], then those that [[fresh]] expands to."""
    for place in top.get("row").each():
        yield place, _row(place)
    for table in top.find("fresh").or_none(Field.each) or ():
        for row in _fresh(table):
            yield table, row


def _fresh(table: Field) -> Iterator[Row]:
    """Yield a row for each version of one package, beside the newest of others."""
    _refuse_unknown(table, _FRESH, "a fresh table")
    package, others = table.get("package").name(), _requires(table.get("with"))
    pythons = _pythons(table, f"the fresh table of {package}")
    for version in _names(table.get("versions")):
        yield Row(
            id=f"fresh-{package}-{version}",
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


def _row(row: Field) -> Row:
    _refuse_unknown(row, _ROW, "a row")
    name = row.get("id").name()
    if not _ID.fullmatch(name):  # it names files and folders, and stands in commands
        raise FieldError(
            f"{row.place}: the id {name!r} has another character than letters, digits, '.', '_' and '-', or"
            " does not begin with a letter or digit"
        )
    return Row(
        id=name,
        requires=_requires(row.get("requires")),
        reason=row.get("reason").name(),
        tags=_names(row.get("tags")),
        pythons=_pythons(row, f"row {name}"),
        bugs=row.find("bugs").or_none(_names) or (),
        installs=row.find("installs").value is None or row.get("installs").flag(),
        needs=_resources(row.find("needs")),
        runs=row.find("runs").or_none(lambda value: value.one_of(RUNS)) or COMPAT,
    )


_PYTHON = re.compile(r"3\.\d+")


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
            raise FieldError(f"{given.place}: {name!r} is not a version of Python such as '3.11'")
    return names


def _requires(values: Field) -> tuple[str, ...]:
    """Return requirements as in PEP 508; paths such as ``./a/path`` are passed on unread."""
    for value in values.each():
        text = value.name()
        if "/" in text:
            continue
        try:
            specifier = Requirement(text).specifier
        except InvalidRequirement as error:
            reason = str(error).partition("\n")[0]
            raise FieldError(f"{value.place}: {text!r} is not a requirement: {reason}") from None
        if len({one.version for one in specifier if one.operator == "=="}) > 1:
            raise FieldError(f"{value.place}: {text!r} asks for two versions at once")
    return _names(values)


def _resources(values: Field) -> tuple[str, ...]:
    """Return the names of what a worker must offer; Dask would read a "=" or a space as more than a name."""
    names = values.or_none(_names) or ()
    for name in names:
        if not re.fullmatch(r"[\w.-]+", name):
            raise FieldError(f"{values.place}: {name!r} is not a name such as 'mps'")
    return names


def _upstream(table: Field) -> Upstream:
    if table.value is None:
        return Upstream()
    return Upstream(
        requires=_names(table.get("requires")),
        tests=_names(table.get("tests")),
        left_out=tuple(test.texts() for test in table.get("left_out").each()),
        rows={row.get("id").name(): _names(row.get("requires")) for row in table.get("row").each()},
    )


def _tables(top: Field) -> dict[str, Field]:
    """Return the tables of the nox sessions, as ``[bench]``."""
    tables = top.value if isinstance(top.value, dict) else {}
    return {name: top.get(name) for name, table in tables.items() if isinstance(table, dict)}


def _names(values: Field) -> tuple[str, ...]:
    return tuple(value.name() for value in values.each())
