"""Check the packages of an environment against each other, as they are installed.

Their sources are read, and what they use of each other is looked up in the API history; a type
checker, if it is there, reads them as well. Nothing is imported, and nothing is fetched.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from metalassay import __version__
from metalassay.bugs import api_history
from metalassay.errors import UserError
from metalassay.fields import parse_json
from metalassay.files import write_atomically
from metalassay.linkcheck import (
    atlas,
    checker,
    difference,
    guards,
    judge,
    overrides,
    places,
    requirements,
    returns,
    source,
)  # fmt: skip
from metalassay.linkcheck.breaks import CERTAIN, LIKELY, POSSIBLE, Break, in_order
from metalassay.linkcheck.entries import is_ordinary
from metalassay.linkcheck.places import Installed
from metalassay.linkcheck.reach import Reach
from metalassay.linkcheck.source import STACK, Package
from metalassay.linkcheck.uses import Use

_FORMAT = 1  # of the kept results


@dataclass(frozen=True)
class Report:
    """What a check found, in which versions, and how it was done.

    ``methods`` says what was read: "sources", the name of the checker, "atlas" for a package whose
    source is not there. ``notes`` say what could not be done.
    """

    versions: Mapping[str, str]
    breaks: tuple[Break, ...]
    methods: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "versions": dict(self.versions),
            "breaks": [each.as_json() for each in self.breaks],
            "methods": list(self.methods),
            "notes": list(self.notes),
        }


def from_json(data: Mapping[str, Any]) -> Report:
    """Return a report from its JSON form."""
    breaks = [
        Break(**{**each, "works": tuple((first, last) for first, last in each["works"])})
        for each in data["breaks"]
    ]
    return Report(data["versions"], tuple(breaks), tuple(data["methods"]), tuple(data["notes"]))


def check(
    python: str,
    installed: Mapping[str, str] | None = None,
    *,
    packages: Iterable[str] = (),
    use_checker: bool = True,
    keep: bool = True,
) -> Report:
    """Return what the packages of an environment need of each other and do not have.

    ``python`` is an interpreter, the folder of an environment, or one of packages. ``installed`` adds
    versions by package that the metadata there does not show, such as "python". ``packages`` are the
    callers to check (default: all). With ``keep`` the result is kept for the next call with the same
    packages. Raises ``UserError`` where there is no such environment.
    """
    path = places.search_path(python)
    found = places.installed(path)
    program = checker.find() if use_checker else None
    kept = _cache(found, packages, program) if keep else None
    if kept and (report := _kept(kept)):
        return report
    report = _Check(found, path, installed or {}, packages, program).run()
    if kept:
        try:
            write_atomically(kept, json.dumps(report.as_json()))
        except OSError:
            return replace(
                report, notes=(*report.notes, f"the result could not be kept in {kept.parent}")
            )
    return report


def kept(folders: Sequence[Path]) -> Report | None:
    """Return the result that an earlier ``check`` of the packages in these folders left, or None."""
    path = _cache(places.installed(folders), (), checker.find())
    return _kept(path) if path else None


def folder() -> Path:
    """Return the folder in which results are kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "metalassay" / "link"


def _cache(
    found: Mapping[str, Installed], packages: Iterable[str], program: str | None
) -> Path | None:
    """Return the file for a result, or None where a package may be edited in place."""
    if any(not each.stamp for each in found.values()):
        return None
    parts = [__version__, str(_FORMAT), program or "", *sorted(packages)]
    parts += [f"{each.name} {each.version} {each.folder} {each.stamp}" for each in found.values()]
    digest = hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:32]
    return folder() / f"{digest}.json"


def _kept(path: Path) -> Report | None:
    try:
        return from_json(parse_json(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


_Dated = tuple[str, str, tuple[tuple[str, str], ...]]
"""What changed, in which release, and the releases of the provider that work."""


class _Check:
    """One check of an environment."""

    def __init__(
        self,
        found: Mapping[str, Installed],
        path: Sequence[Path],
        more: Mapping[str, str],
        wanted: Iterable[str],
        program: str | None,
    ) -> None:
        self.found = {name.replace("-", "_"): each for name, each in found.items()}
        self.path = path
        self.versions = {**more, **{each.name: each.version for each in found.values()}}
        asked = {each.replace("-", "_") for each in wanted}
        self.callers = [
            name for name in STACK if name in self.found and (not asked or name in asked)
        ]
        self.program = program
        self.notes: list[str] = []
        self._packages: dict[str, tuple[Package, Reach]] = {}
        self._known: dict[tuple[str, str], Mapping[tuple[str, str], _Dated]] = {}

    def run(self) -> Report:
        """Return the report."""
        methods = ["sources"]
        breaks: list[Break] = []
        with ThreadPoolExecutor(1) as pool:  # the checker is a program of its own
            waiting = pool.submit(self._diagnostics) if self.program else None
            for name in self.callers:
                if self.found[name].folder is None:
                    methods.append(f"atlas for {name}")
                    self.notes.append(f"the source of {name} was not found")
                    breaks += atlas.linked({name: self.versions[name]}, self._plain())
                else:
                    breaks += self._caller(name)
            if waiting is None:
                if self.program is None:
                    self.notes.append(
                        "no type checker is installed (pip install 'metalassay[link]'): the sources"
                        " were read without one"
                    )
            else:
                try:
                    diagnostics = waiting.result()
                    methods.append("ty")
                    breaks += self._linked(diagnostics)
                except UserError as error:
                    self.notes.append(error.message)
        mine = {self.found[name].name for name in self.callers}
        breaks += [each for each in requirements.violations(self.versions) if each.caller in mine]
        return Report(self.versions, in_order(_distinct(breaks)), tuple(methods), tuple(self.notes))

    def _plain(self) -> dict[str, str]:
        return {str(canonicalize_name(name)): version for name, version in self.versions.items()}

    def package(self, name: str) -> tuple[Package, Reach]:
        """Return a package's source, and what its entries reach; both are read once."""
        if name not in self._packages:
            place = self.found[name].folder
            assert place is not None  # noqa: S101
            content = source.read(source.files(place, name), name)
            self._packages[name] = content, Reach(content)
        return self._packages[name]

    def _caller(self, name: str) -> Iterator[Break]:
        place = self.found[name].folder
        judged = [each for each in self.found if each in api_history.PACKAGES]
        if place is None or not source.imports_any(place, name, judged):
            return
        content, reach = self.package(name)
        for use in content.uses():
            provider = use.target.partition(".")[0]
            if provider not in self.found or provider == name:
                continue
            yield from self._judged(name, use, content, reach)
            if returns.asked(use):
                yield from self._returned(name, use, content, reach)
        yield from self._overridden(name, content, reach)

    def _judged(self, caller: str, use: Use, content: Package, reach: Reach) -> Iterator[Break]:
        provider = use.target.partition(".")[0]
        version = self.found[provider].version
        for finding in judge.findings(use):
            if not finding.broken(version):
                continue
            kind = finding.kind if finding.kind in ("import", "attribute") else "call"
            where = reach.of(use.module, use.function, use.conditions, kind)
            yield self._break(
                caller, provider, finding.kind, finding.what,
                where=f"{content.modules[use.module].path}:{use.line}",
                entry=where.entry, strength=where.strength,
                guarded=guards.is_guarded(use.conditions, kind) or where.strength == guards.GUARDED,
                works=finding.has.spans(),
            )  # fmt: skip

    def _returned(self, caller: str, use: Use, content: Package, reach: Reach) -> Iterator[Break]:
        provider = use.target.partition(".")[0]
        if self.found[provider].folder is None or guards.is_guarded(use.conditions, "call"):
            return
        if not returns.returns_tuple(self.package(provider)[0], use.target):
            return
        if self._is_there(use.member):
            return
        entry = returns.entry_of(use, content, reach)
        if entry:
            yield self._break(
                caller, provider, "return", f"{use.target}({use.member})",
                where=f"{content.modules[use.module].path}:{use.line}", entry=entry,
                strength=guards.SURE,
                note=f"it returns a tuple, so {caller} takes {use.member} for installed",
            )  # fmt: skip

    def _is_there(self, module: str) -> bool:
        return any(
            (each / module).is_dir() or (each / f"{module}.py").is_file() for each in self.path
        )

    def _overridden(self, caller: str, content: Package, reach: Reach) -> Iterator[Break]:
        calls: dict[str, overrides.Shapes] = {}
        for use in content.uses():
            provider = use.target.partition(".")[0]
            if use.kind != "override" or use.member.startswith("__") or provider not in self.found:
                continue
            if provider not in api_history.PACKAGES:
                continue
            if self.found[provider].folder is None or not _fitted_once(use):
                continue
            base, base_reach = self.package(provider)
            if provider not in calls:
                calls[provider] = overrides.shapes(base, base_reach)
            owner = next(
                (each for each in content.modules[use.module].classes.values()
                 if each.lines.get(use.member) == use.line), None,
            )  # fmt: skip
            path = f"{use.module}.{owner.name if owner else '?'}"
            found = overrides.broken(use, path, content, base, calls[provider])
            if found is None:
                continue
            what, shape = found
            entries = [each for each in reach.entries(f"{path}.__init__") if each != "import"]
            yield self._break(
                caller, provider, "override", f"{path}.{use.member}({what})",
                where=f"{content.modules[use.module].path}:{use.line}",
                entry=", ".join(entries) if shape.strength else "",
                strength=shape.strength if entries else guards.NEVER,
            )  # fmt: skip

    def _break(
        self, caller: str, provider: str, kind: str, what: str, *, where: str, entry: str, strength: int,
        guarded: bool = False, works: tuple[tuple[str, str], ...] = (), note: str = "",
    ) -> Break:  # fmt: skip
        stops = is_ordinary(entry) and strength >= guards.UNSURE and not guarded
        sure = CERTAIN if strength == guards.SURE else LIKELY
        changed, since, known = self._dated(caller, provider).get((kind, what), ("", "", ()))
        return Break(
            caller=self.found[caller].name,
            caller_version=self.found[caller].version,
            provider=self.found[provider].name,
            provider_version=self.found[provider].version,
            kind=kind,
            what=what,
            where=where,
            entry=entry if strength else "",
            guarded=guarded,
            stops=stops,
            confidence=sure if stops else POSSIBLE,
            since=since,
            changed=changed,
            works=works or known,
            note=note,
        )

    def _dated(self, caller: str, provider: str) -> Mapping[tuple[str, str], _Dated]:
        """Return what the atlas knows of a pair: by kind and name, what changed, when, and what works."""
        if (caller, provider) not in self._known:
            callers = {self.found[caller].name: self.found[caller].version}
            providers = {self.found[provider].name: self.found[provider].version}
            self._known[caller, provider] = {
                (each.kind, each.what): (each.changed, each.since, each.works)
                for each in atlas.linked(callers, providers)
            }
        return self._known[caller, provider]

    # The type checker

    def _diagnostics(self) -> list[tuple[str, checker.Diagnostic]]:
        """Return what the checker prints of each caller's files that mention another package."""
        assert self.program is not None  # noqa: S101
        found: list[tuple[str, checker.Diagnostic]] = []
        with tempfile.TemporaryDirectory(prefix="metalassay-site-") as name:
            site = Path(name)
            for each, entry in self.found.items():
                if entry.folder is not None:
                    (site / each).symlink_to(entry.folder / each)
            files = [path for caller in self.callers for path in self._files(site, caller)]
            for line in difference.relevant("ty", checker.run(self.program, site, files)):
                found.append((line.path.partition("/")[0], line))
        return found

    def _files(self, site: Path, caller: str) -> list[Path]:
        place = self.found[caller].folder
        if place is None:
            return []
        others = [each for each in self.found if each != caller and each in api_history.PACKAGES]
        return [
            site / path
            for path, _, text in source.files(place, caller)
            if any(other in text for other in others)
        ]

    def _linked(self, diagnostics: Sequence[tuple[str, checker.Diagnostic]]) -> Iterator[Break]:
        for caller, line in diagnostics:
            if caller not in self.found or self.found[caller].folder is None:
                continue
            content, reach = self.package(caller)
            module = line.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
            if module not in content.modules:
                continue
            others = [each for each in self.found if each != caller]
            for use in difference.uses(line, module, others):
                function, conditions = guards.around(self._text(caller, line.path), line.line)
                placed = replace(use, function=function, conditions=conditions)
                yield from self._judged(caller, placed, content, reach)

    def _text(self, caller: str, path: str) -> str:
        place = self.found[caller].folder
        assert place is not None  # noqa: S101
        return (place / path).read_text("utf-8", "replace")


def _fitted_once(use: Use) -> bool:
    """Return whether some release of the base class lacks the method, or takes what this one takes.

    If none does, the override never was one that the base could call.
    """
    own = api_history.parse(use.signature)
    history = api_history.history(use.target.partition(".")[0])
    for index in range(len(history.releases)):
        path = judge.place(history, use.target, index)
        if own is None or path is None:
            continue
        base = api_history.method(path, use.member, {history.package: index})
        if base is False:
            return True
        signature = base.signature if isinstance(base, api_history.Method) else None
        if (
            signature
            and judge.room(signature) <= judge.room(own)
            and all(own.accepts(each) is not False for each in signature.names)
        ):
            return True
    return False


def _distinct(breaks: Iterable[Break]) -> list[Break]:
    """Return one break for each thing that a file of a caller lacks, the one that matters most."""
    best: dict[tuple[str, str, str, str], Break] = {}
    for each in breaks:
        name, _, inside = each.what.partition("(")  # a checker may name the path of the definition
        last = f"{name.rpartition('.')[2]}({inside}"
        key = (each.caller, each.kind, last, each.where.partition(":")[0])
        if key not in best or each.order < best[key].order:
            best[key] = each
    return list(best.values())
