"""Find the smallest change of versions that leaves no known bug and no known break.

Every release that the data know of each installed package is a candidate, alone and together with those
of other packages. A set is judged by the known bugs, by what packages call in each other (``linkcheck``)
and by what they require of each other; one that brings a break is never proposed. No package index is
queried: whether an installer can do it beside everything else is for ``metalassay fix`` to find out.
"""

from __future__ import annotations

import copy
import functools
import heapq
import itertools
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from metalassay import bugs, linkcheck, pep440
from metalassay.diagnosis import tested_sets
from metalassay.environment.versions import MACHINE
from metalassay.linkcheck import requirements
from metalassay.mps.probe import os_floors

COMPANIONS = ("torchvision", "torchaudio")
"""Packages that are built for one torch and must move with it."""

FOLLOWERS = ("huggingface-hub", "tokenizers", "safetensors", "numpy")
"""Packages that an installer moves with those that require them."""

_FIXED = MACHINE | {"metalassay"}

# What a set costs: the cheapest is proposed. A change is worth a bug, and hardly anything but a bug that
# stops the training is worth a new major version, another torch or an older release.
_STOPS, _BUG, _REPORTED = 1000.0, 12.0, 6.0
_BROUGHT, _BROUGHT_FOR_GOOD = 16.0, 2.0
_PACKAGE, _STEP, _MAJOR, _OLDER, _TORCH = 3.0, 0.3, 150.0, 60.0, 40.0
_NOT_EXECUTED = 2.0

_MOST_PACKAGES = 4  # that change together
_ENOUGH = {1: 0.0, 2: 2 * _BUG, 3: _STOPS / 2, 4: _STOPS}
"""What the bugs may cost that a change of so many packages leaves, before one more is tried."""
_WIDTH = 150  # sets of each size that are extended by one more package
_MOST_JUDGED = 1000  # sets whose requirements and breaks are looked at, the cheapest first


@dataclass(frozen=True)
class Change:
    """A change of one package: its requirement and both versions (``after`` is None where unknown).

    ``fixes`` are the ids of the bugs that go with this change; it is empty for a package that only
    follows another one.
    """

    package: str
    requirement: str
    version: str | None
    before: str = ""
    fixes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The requirements to install together, and the ids of the known bugs that this affects.

    ``fixes`` no longer apply afterwards; ``brings`` apply afterwards and did not before; ``remains``
    apply still, although a change of version fixes each of them. ``changes`` are the same requirements,
    with their reasons, and ``versions`` the whole set afterwards. ``ends`` and ``keeps`` are the breaks
    between packages that go, and those that no set found here is free of.
    """

    requirements: tuple[str, ...]
    fixes: tuple[str, ...]
    brings: tuple[str, ...]
    remains: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    ends: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()


NOTHING = Plan((), (), (), ())


@dataclass(frozen=True)
class Facts:
    """What is known of packages besides the bugs.

    ``releases`` of a package, oldest first; what a release ``requires``; the ``breaks`` of a set that stop
    its import or its training, each as a sentence; and whether a set was ``executed``, and worked.
    """

    releases: Callable[[str], Sequence[str]]
    requires: Callable[[str, str], Sequence[str]]
    breaks: Callable[[Mapping[str, str]], Collection[str]]
    executed: Callable[[Mapping[str, str]], bool]


def plan(
    installed: Mapping[str, str],
    ignored: Sequence[str] = (),
    *,
    facts: Facts | None = None,
    only: Collection[str] | None = None,
    refused: Collection[tuple[str, ...]] = (),
) -> Plan:
    """Return the cheapest change that fixes what can be fixed, ``ignored`` bugs aside.

    With ``only``, the bugs of these ids alone are to be fixed. ``refused`` are requirements, together,
    that turned out not to be installable.
    """
    return next(iter(plans(installed, ignored, facts=facts, only=only, refused=refused)), NOTHING)


def plans(
    installed: Mapping[str, str],
    ignored: Sequence[str] = (),
    *,
    facts: Facts | None = None,
    only: Collection[str] | None = None,
    refused: Collection[tuple[str, ...]] = (),
) -> Iterator[Plan]:
    """Yield the changes that are better than none, the cheapest first; ``plan`` explains the arguments."""
    facts = facts or known_facts()
    space = _space_of(installed, ignored, facts).towards(only)
    for changed in space.cheapest_first():
        found = space.plan(changed)
        if found.requirements not in refused:
            yield found


def between(
    before: Mapping[str, str],
    after: Mapping[str, str],
    wanted: Plan,
    ignored: Sequence[str] = (),
    *,
    facts: Facts | None = None,
) -> Plan:
    """Describe the change that an installer would really make for the requirements of ``wanted``."""
    space = _space_of(before, ignored, facts or known_facts())
    changed = {
        name: after[name]
        for name in space.installed
        if after.get(name, before[name]) != before[name]
    }
    found = space.plan(changed)
    return replace(found, requirements=wanted.requirements)


def stopping(ids: Iterable[str]) -> tuple[str, ...]:
    """Return those bugs that stop the import or the training of everybody who has the versions."""
    wanted = set(ids)
    return tuple(bug.id for bug in bugs.load() if bug.id in wanted and _stops(bug))


def changes_for(bug: bugs.Bug, installed: Mapping[str, str]) -> tuple[Change, ...]:
    """Return the smallest change that fixes one bug and breaks nothing; empty where none does."""
    if not fixable(bug) or not bug.hits(installed):
        return ()
    found = plan(installed, only=(bug.id,))
    return found.changes if bug.id in found.fixes else ()


@functools.cache
def known_facts() -> Facts:
    """Return what the data of this package know."""
    return Facts(
        requirements.releases,
        requirements.of,
        _stopping_breaks,
        lambda set_: tested_sets.find(set_) is not None,
    )


def _stopping_breaks(versions: Mapping[str, str]) -> frozenset[str]:
    return frozenset(
        f"{each.caller} {each.caller_version} needs {each.what}"
        for each in linkcheck.known_breaks(versions)
        if each.stops and not each.guarded
    )


def as_shell(words: Sequence[str]) -> str:
    """Return a command quoted for a shell."""
    return shlex.join(words)


def _space_of(installed: Mapping[str, str], ignored: Sequence[str], facts: Facts) -> _Space:
    """Return the space of a set; doctor asks for each of its bugs in turn."""
    return _space(tuple(installed.items()), tuple(ignored), facts, _Known(bugs.load()))


_Set = tuple[float, int, dict[str, str]]
"""The cost of a set, a number that no other set has, and the versions that change."""


class _Known(tuple[bugs.Bug, ...]):
    """The known bugs as a key of a cache: compared by identity, as they cannot be hashed."""

    def __hash__(self) -> int:
        return hash(tuple(map(id, self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple) and [*map(id, self)] == [*map(id, other)]


@functools.lru_cache(8)
def _space(
    installed: tuple[tuple[str, str], ...], ignored: tuple[str, ...], facts: Facts, known: _Known
) -> _Space:
    return _Space(dict(installed), ignored, facts, known)


class _Space:
    """Every set of versions that can be reached from the installed one, and what each costs."""

    def __init__(
        self,
        installed: Mapping[str, str],
        ignored: Sequence[str],
        facts: Facts,
        known: Sequence[bugs.Bug],
    ) -> None:
        self.installed = {name: text for name, text in installed.items() if pep440.version_of(text)}
        self.facts = facts
        self.bugs = [bug for bug in known if bug.id not in ignored]
        self.masks = _Masks(self.bugs, self.installed)
        self.before = self.masks.ids(self.masks.bits({}))
        self.hit_costs: dict[int, float] = {}
        self.tables: dict[str, list[tuple[str, int, float]]] = {}
        self.stops_newly: dict[int, bool] = {}
        self.change_costs: dict[tuple[str, str], float] = {}
        self.one_bug = False
        self.number = itertools.count()
        self.wanted = {bug.id for bug in self.bugs if bug.id in self.before and fixable(bug)}
        self.brought = {
            bug.id: _BROUGHT if any(fix.install for fix in bug.fixes) else _BROUGHT_FOR_GOOD
            for bug in self.bugs
        }
        self.weights = {bug.id: self._weight(bug) for bug in self.bugs}
        self.stopping = {bug.id for bug in self.bugs if _stops(bug) and self.weights[bug.id]}
        self.breaks_before = self._breaks(self.installed)
        self.candidates = {
            package: self._candidates(package)
            for package in self.installed
            if package not in _FIXED and package not in FOLLOWERS[1:]
        }

    def towards(self, only: Collection[str] | None) -> _Space:
        """Return the same space where the bugs of these ids alone are to be fixed, all of them for None."""
        if only is None:
            return self
        space = copy.copy(self)
        space.one_bug = True
        space.wanted = self.wanted.intersection(only)
        space.hit_costs = {}
        space.breaks_before = frozenset()
        return space

    def cheapest_first(self) -> Iterator[dict[str, str]]:
        """Yield the changed versions of sets that are better than the present one."""
        if not self.wanted and not self.breaks_before:
            return
        stay = self._cost({}, self.masks.bits({}), len(self.breaks_before))
        packages = [package for package, found in self.candidates.items() if found]
        if self.one_bug:
            about = {name for bug in self.bugs if bug.id in self.wanted for name in bug.packages}
            packages = [package for package in packages if package in about]
        beam: list[_Set] = [(stay, 0, {})]
        queue: list[_Set] = []
        for size in range(1, (2 if self.one_bug else _MOST_PACKAGES) + 1):
            beam, better = self._extended(beam, packages, size, stay)
            queue += better
            if self.one_bug and queue:
                break
            # More packages at once only where fewer leave something that stops, or several bugs.
            if size < 2 or self._left(min(queue, default=None)) > _ENOUGH[size]:
                continue
            judged = iter(self._judged(list(queue), stay))
            first = next(judged, None)
            # What looked best may bring a break, or be refused by a requirement.
            if first is None or self._leaves(first) > _ENOUGH[size]:
                continue
            yield first
            yield from judged
            queue = []
        yield from self._judged(queue, stay)

    def _leaves(self, changed: Mapping[str, str]) -> float:
        """Return what the bugs and breaks cost that a change leaves."""
        breaks = () if self.one_bug else self._breaks({**self.installed, **changed})
        return self._cost({}, self.masks.bits(changed), len(breaks))

    def _left(self, best: _Set | None) -> float:
        """Return what the bugs cost that the best set leaves."""
        return _STOPS if best is None else self._cost({}, self.masks.bits(best[2]))

    def _extended(
        self, beam: list[_Set], packages: Sequence[str], size: int, stay: float
    ) -> tuple[list[_Set], list[_Set]]:
        """Change one more package in each set; return the sets to go on from, and those that are better."""
        found: list[tuple[float, int, int, dict[str, str], str, str]] = []
        tables = {package: self._table(package) for package in packages}
        for _, _, start in beam:
            paid = sum(self._change_cost(package, version) for package, version in start.items())
            last = max((packages.index(package) for package in start), default=-1)
            for place, package in enumerate(packages):
                # Pairs are met once in this order; of larger sets not every part is in the beam.
                if package in start or (size == 2 and place < last):
                    continue
                others = self.masks.others(start, package)
                for version, mask, change in tables[package]:
                    bits = others & mask
                    cost = self._hit_cost(bits) + paid + change
                    found.append((cost, next(self.number), bits, start, package, version))
        better = [
            self._set(each) for each in found if each[0] < stay and not self._stops_newly(each[2])
        ]
        if size > 2:
            better = list({frozenset(each[2].items()): each for each in better}.values())
        # What brings something that stops may still be extended, behind what brings nothing.
        best = found if size == 1 else heapq.nsmallest(_WIDTH, found, key=self._promise)
        return [self._set(each) for each in best], better

    def _promise(
        self, found: tuple[float, int, int, dict[str, str], str, str]
    ) -> tuple[float, int]:
        return found[0] + (_STOPS if self._stops_newly(found[2]) else 0.0), found[1]

    @staticmethod
    def _set(found: tuple[float, int, int, dict[str, str], str, str]) -> _Set:
        cost, number, _, start, package, version = found
        return cost, number, {**start, package: version}

    def _table(self, package: str) -> list[tuple[str, int, float]]:
        """Return the candidates of a package, each with its mask and with what the change costs."""
        if package not in self.tables:
            self.tables[package] = [
                (version, self.masks.mask(package, version), self._change_cost(package, version))
                for version in self.candidates[package]
            ]
        return self.tables[package]

    def _judged(self, queue: list[_Set], stay: float) -> Iterator[dict[str, str]]:
        """Yield the sets that bring no break and that requirements allow, the cheapest first.

        Breaks and executed sets are looked at here: they cost time, and can only add to the cost.
        """
        heapq.heapify(queue)
        judged: list[_Set] = []
        for _ in range(_MOST_JUDGED):
            if not queue:
                break
            cost, order, changed = heapq.heappop(queue)
            while judged and judged[0][0] <= cost:
                yield heapq.heappop(judged)[2]
            moved = self._with_followers(changed)
            if moved is None:
                continue
            now = {**self.installed, **moved}
            breaks = frozenset() if self.one_bug else self._breaks(now)
            bits = self.masks.bits(moved)
            if breaks - self.breaks_before or self._stops_newly(bits):
                continue
            cost = self._cost(changed, bits, len(breaks))
            cost += _PACKAGE * (len(moved) - len(changed))
            cost += 0.0 if self.facts.executed(now) else _NOT_EXECUTED
            if cost < stay:
                heapq.heappush(judged, (cost, order, moved))
        while judged:
            yield heapq.heappop(judged)[2]

    def plan(self, changed: Mapping[str, str]) -> Plan:
        """Describe a change."""
        after = self.masks.ids(self.masks.bits(changed))
        now = {**self.installed, **changed}
        breaks = self._breaks(now)
        gone = self.before - after
        changes = []
        for package, version in changed.items():
            back = {name: text for name, text in changed.items() if name != package}
            own = tuple(
                bug for bug in self._ordered(gone) if bug in self.masks.ids(self.masks.bits(back))
            )
            changes.append(_change(package, self.installed[package], version, own))
        companions = [name for name in COMPANIONS if name in self.installed and "torch" in changed]
        return Plan(
            requirements=(
                *(
                    each.requirement
                    for each in changes
                    if each.fixes or each.package not in FOLLOWERS
                ),
                *companions,
            ),
            fixes=self._ordered(gone),
            brings=self._ordered(after - self.before),
            remains=self._ordered({bug.id for bug in self.bugs if bug.id in after & self.wanted}),
            changes=tuple(changes),
            versions={name: text for name, text in now.items() if not _is_open(text)},
            ends=tuple(sorted(self.breaks_before - breaks)),
            keeps=tuple(sorted(breaks)),
        )

    def _ordered(self, ids: Collection[str]) -> tuple[str, ...]:
        return tuple(bug.id for bug in self.bugs if bug.id in ids)

    def _weight(self, bug: bugs.Bug) -> float:
        """Return what a bug costs that stays; nothing for one that this machine cannot have."""
        if bug.needs == "mps" and "macos" not in self.installed:
            return 0.0
        if _stops(bug):
            return _STOPS
        return _REPORTED if bug.reported_only else _BUG

    def _cost(self, changed: Mapping[str, str], bits: int, breaks: int = 0) -> float:
        paid = sum(self._change_cost(package, version) for package, version in changed.items())
        return self._hit_cost(bits) + paid + _STOPS * breaks

    def _hit_cost(self, bits: int) -> float:
        """Return what the bugs of a set cost."""
        cost = self.hit_costs.get(bits)
        if cost is None:
            hits = self.masks.ids(bits)
            cost = sum(self.weights[bug] for bug in hits if bug in self.wanted)
            cost += sum(self.brought[bug] for bug in hits - self.before if self.weights[bug])
            self.hit_costs[bits] = cost
        return cost

    def _stops_newly(self, bits: int) -> bool:
        found = self.stops_newly.get(bits)
        if found is None:
            hits = self.masks.ids(bits)
            found = self.stops_newly[bits] = bool((hits - self.before) & self.stopping)
        return found

    def _change_cost(self, package: str, version: str) -> float:
        cost = self.change_costs.get((package, version))
        if cost is None:
            cost = _PACKAGE + (_TORCH if package == "torch" else 0.0)
            if _is_open(version):
                cost += _OLDER / 2
            else:
                old, new = Version(self.installed[package]), Version(version)
                cost += _MAJOR if old.major != new.major else 0.0
                cost += _OLDER if new < old else 0.0
                cost += _STEP * self._distance(package, old, new)
            self.change_costs[package, version] = cost
        return cost

    def _distance(self, package: str, old: Version, new: Version) -> int:
        low, high = min(old, new), max(old, new)
        known = tuple(each for each in self.candidates.get(package, ()) if not _is_open(each))
        return sum(low < each <= high for each in _parsed(known))

    def _candidates(self, package: str) -> tuple[str, ...]:
        """Return the versions to try: the newest patch of every minor version, or where bugs end."""
        known = self.facts.releases(package)
        current = Version(self.installed[package])
        if known:
            newest: dict[tuple[int, int], Version] = {}
            for version in _parsed(tuple(known)):
                if not version.is_prerelease:
                    series = (version.major, version.minor)
                    newest[series] = max(newest.get(series, version), version)
            found = set(newest.values())
        else:
            found = {each for each in _parsed(_bounds(package)) if each > current}
        machine = (self.installed.get("macos"), self.installed.get("python"))
        versions = (
            str(each)
            for each in sorted(found)
            if each != current and (package != "torch" or os_floors.runs(str(each), *machine))
        )
        return (*versions, *self._downgrades(package, current))

    def _downgrades(self, package: str, current: Version) -> tuple[str, ...]:
        """Return the upper bounds that fixes in the data name, such as "<1", for a package without releases."""
        if self.facts.releases(package):
            return ()
        found = {
            str(requirement.specifier)
            for bug in self.bugs
            if bug.id in self.wanted
            for fix in bug.fixes
            for requirement in fix.requirements()
            if requirement.name == package
            and {each.operator for each in requirement.specifier} in ({"<"}, {"<="})
            and not requirement.specifier.contains(current)
        }
        return tuple(sorted(found))

    def _breaks(self, versions: Mapping[str, str]) -> frozenset[str]:
        return frozenset(self.facts.breaks(versions))

    def _with_followers(self, changed: Mapping[str, str]) -> dict[str, str] | None:
        """Return a change with the packages that must follow; None if requirements contradict it.

        Only requirements with a changed package on one side count: what is wrong already is no reason.
        """
        moved = dict(changed)
        now = {**self.installed, **moved}
        for package in now:
            if package in _FIXED or _is_open(now[package]):
                continue
            for text in self.facts.requires(package, now[package]):
                requirement = _requirement(text)
                name = canonicalize_name(requirement.name)
                if name not in now or _is_open(now[name]):
                    continue
                if package not in moved and name not in moved:
                    continue
                if requirement.specifier.contains(now[name], prereleases=True):
                    continue
                if name not in FOLLOWERS or package not in changed:
                    return None
                version = _nearest(requirement.specifier, self.facts.releases(name))
                if version is None or moved.get(name, version) != version:
                    return None
                moved[name] = now[name] = version
        return moved


class _Masks:
    """Which bugs a set of versions has, as bits: one for each alternative of each bug.

    A set is judged by one AND for every package that changes, so that ten thousands of sets are.
    """

    def __init__(self, known: Sequence[bugs.Bug], installed: Mapping[str, str]) -> None:
        self.installed = installed
        self.alternatives = [(bug.id, where) for bug in known for where in bug.where]
        self.naming: dict[str, list[tuple[int, SpecifierSet]]] = {}
        for index, (_, where) in enumerate(self.alternatives):
            for package, specifier in where.items():
                self.naming.setdefault(package, []).append((1 << index, specifier))
        self.all = (1 << len(self.alternatives)) - 1
        self.cache: dict[tuple[str, str | None], int] = {}
        self.sets: dict[int, frozenset[str]] = {}
        self.now = {package: self.mask(package, installed.get(package)) for package in self.naming}
        # For every package, what all the others allow.
        self.without: dict[frozenset[str], int] = {}

    def mask(self, package: str, version: str | None) -> int:
        """Return the bits of the alternatives that a version of a package does not exclude."""
        key = (package, version)
        if key not in self.cache:
            mask = self.all
            for bit, specifier in self.naming.get(package, ()):
                # Of an older release than named here nothing is known, and no bug is assumed.
                if (
                    version is None
                    or _is_open(version)
                    or not specifier.contains(version, prereleases=True)
                ):
                    mask &= ~bit
            self.cache[key] = mask
        return self.cache[key]

    def bits(self, changed: Mapping[str, str]) -> int:
        """Return the bits of the alternatives that apply to the installed set after a change."""
        bits = self._without(frozenset(changed))
        for package, version in changed.items():
            bits &= self.mask(package, version)
        return bits

    def others(self, changed: Mapping[str, str], package: str) -> int:
        """Return what all packages but one allow after a change of some of them."""
        bits = self._without(frozenset({*changed, package}))
        for other, version in changed.items():
            bits &= self.mask(other, version)
        return bits

    def _without(self, packages: frozenset[str]) -> int:
        """Return what the installed versions of all other packages allow."""
        bits = self.without.get(packages)
        if bits is None:
            bits = self.all
            for package, mask in self.now.items():
                if package not in packages:
                    bits &= mask
            self.without[packages] = bits
        return bits

    def ids(self, bits: int) -> frozenset[str]:
        """Return the ids of the bugs that have one of these alternatives."""
        found = self.sets.get(bits)
        if found is None:
            found = self.sets[bits] = frozenset(
                bug for index, (bug, _) in enumerate(self.alternatives) if bits >> index & 1
            )
        return found


def _is_open(version: str) -> bool:
    """Return whether this is a bound, such as "<1", and not a version."""
    return version.startswith("<")


def _change(package: str, before: str, version: str, fixes: tuple[str, ...]) -> Change:
    if _is_open(version):
        return Change(package, f"{package}{version}", None, before, fixes)
    padded = ".".join(map(str, (*Version(version).release, 0, 0)[:3]))
    return Change(package, f"{package}~={padded}", version, before, fixes)


def _stops(bug: bugs.Bug) -> bool:
    return bug.stops


def fixable(bug: bugs.Bug) -> bool:
    """Return whether a change of versions is the first thing to try; code must change for the others."""
    return bool(bug.fixes) and bool(bug.fixes[0].install)


def _nearest(specifier: SpecifierSet, known: Sequence[str]) -> str | None:
    """Return the oldest release that a specifier asks for, or the newest that it allows."""
    lower = [each.version for each in specifier if each.operator in (">=", "==", "~=")]
    if lower and specifier.contains(lower[0], prereleases=True):
        return lower[0]
    allowed = [each for each in known if specifier.contains(each)]
    return allowed[-1] if allowed else None


@functools.lru_cache(4096)
def _requirement(text: str) -> Requirement:
    return Requirement(text)


@functools.lru_cache(256)
def _parsed(versions: tuple[str, ...]) -> tuple[Version, ...]:
    return tuple(map(Version, versions))


def _bounds(package: str) -> tuple[str, ...]:
    """Return every version of a package that is a bound of some bug, in ascending order."""
    bounds = {
        Version(Version(specifier.version).base_version)
        for bug in bugs.load()
        for where in bug.where
        for specifier in where.get(package, ())
        if not specifier.version.endswith(".*")
    }
    return tuple(map(str, sorted(bounds)))
