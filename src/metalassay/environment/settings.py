"""Choose the environment variables of a training on this machine, by the rows of settings.toml.

    os.environ.update(settings.environment())      # before torch is imported

What a user has set is never changed: it is named, with what is wrong about it by ``variables``.
"""

from __future__ import annotations

import functools
import math
import os
import platform
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any, NamedTuple

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from metalassay.environment import variables, versions
from metalassay.machine import hardware
from metalassay.machine.hardware import Hardware

HIGH, LOW = "PYTORCH_MPS_HIGH_WATERMARK_RATIO", "PYTORCH_MPS_LOW_WATERMARK_RATIO"
SURE = ("measured", "executed", "read", "documented")
GLIBC = "glibc"
"""The C library as a package with a version, for ``where``; absent where it is another one."""

_MEMORY = 0.9  # of the machine's memory at most for MPS; the rest is the system's and Python's own
_LOW_TO_HIGH = 1.4 / 1.7  # torch's defaults
_SYSTEMS = {"Darwin": "macOS"}


@dataclass(frozen=True)
class Rule:
    """One row [[setting]] of settings.toml, which explains the fields."""

    variable: str
    reason: str
    sure: str
    shown: str
    link: str
    value: str = ""
    compute: str = ""
    claim: str = ""
    systems: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    forks: bool = False
    together: str = ""
    matters: str = ""
    unmeasured: str = ""


class LeftOut(NamedTuple):
    """A variable that is not set, and why; ``link`` is a source, ``claim`` an id of claims/data/ or ""."""

    variable: str
    reason: str
    link: str
    claim: str


@dataclass(frozen=True)
class Setting:
    """What is done about one variable.

    ``value`` is what to set it to. It is None where the user's own value stays (``yours``, with what is
    wrong with it in ``traps``), and where nothing has to be set (``why_not`` says why).
    """

    rule: Rule
    value: str | None = None
    yours: str | None = None
    traps: tuple[variables.Rule, ...] = ()
    why_not: str = ""

    @property
    def variable(self) -> str:
        """Return the name of the variable."""
        return self.rule.variable


@dataclass(frozen=True)
class _Facts:
    hardware: Hardware
    environ: Mapping[str, str]


@functools.cache
def load() -> tuple[Rule, ...]:
    """Return the rules, in the order of the file. Raises ``TypeError`` for an unknown or missing field."""
    listed = ("systems", "machines")
    return tuple(
        Rule(**{**row, **{key: tuple(row[key]) for key in listed if key in row}})
        for row in _document()["setting"]
    )


@functools.cache
def left_out() -> tuple[LeftOut, ...]:
    """Return the variables that guides set and we do not; reads the claims, which takes milliseconds.

    Raises ``KeyError`` for a rule or a claim that does not exist.
    """
    from metalassay.claims import catalogue

    rules = {rule.id: rule for rule in variables.load()}
    claims = {claim.id: claim for claim in catalogue.load()}
    rows = []
    for row in _document()["left_out"]:
        rule = rules[row["rule"]] if "rule" in row else None
        claim = claims[row["claim"]] if "claim" in row else None
        truth = claim.truth if claim else ""
        # In the ledger a truth begins in lower case.
        reason = row.get("reason") or (rule.says if rule else f"{truth[:1].upper()}{truth[1:]}.")
        link = row.get("link") or (rule.link if rule else "")
        if not reason or not link:
            raise KeyError(f"{row['variable']} has no reason or no link")
        rows.append(LeftOut(row["variable"], reason, link, row.get("claim", "")))
    return tuple(rows)


def known(name: str) -> bool:
    """Whether a variable is one that is set, or one that is left out."""
    return any(
        name == row["variable"] for kind in ("setting", "left_out") for row in _document()[kind]
    )


def choose(
    machine: Hardware,
    system: str,
    installed: Mapping[str, str],
    environ: Mapping[str, str],
    *,
    forks: bool = False,
) -> tuple[Setting, ...]:
    """Decide about every variable of settings.toml, in the order of the file.

    ``system`` is a value of ``platform.system()``, ``installed`` maps packages to versions (and ``GLIBC`` to
    that of the C library), ``environ`` is what the user has set. ``forks`` says that the program forks after
    it has tokenised. Nothing is read from the machine.
    """
    facts = _Facts(machine, environ)
    decided: dict[str, Setting] = {}
    for rule in load():
        before = decided.get(rule.variable)
        if before and (before.value is not None or before.yours is not None):
            continue
        if (yours := environ.get(rule.variable)) is not None:
            found = Setting(rule, yours=yours)
        elif why := _not_here(rule, machine, system, installed, forks=forks):
            found = Setting(rule, why_not=why)
        elif rule.compute:
            value, why = COMPUTED[rule.compute](facts)
            found = Setting(rule, value=value, why_not=why)
        elif partner := _partner(rule, environ):
            found = Setting(rule, why_not=f"it belongs with {partner}, which is yours")
        else:
            found = Setting(rule, value=rule.value)
        if before and found.why_not and found.why_not != before.why_not:
            found = Setting(before.rule, why_not=f"{before.why_not}; {found.why_not}")
        decided[rule.variable] = found
    return _with_traps(tuple(decided.values()), system, installed, environ)


def _partner(rule: Rule, environ: Mapping[str, str]) -> str:
    """Return the variable that the user has set of those that are right only together, or ""."""
    group = [each.variable for each in load() if rule.together and each.together == rule.together]
    return next((name for name in group if name in environ), "")


def _with_traps(
    settings: tuple[Setting, ...],
    system: str,
    installed: Mapping[str, str],
    environ: Mapping[str, str],
) -> tuple[Setting, ...]:
    """Return the settings with what is wrong with the user's own beside those that are added."""
    added = {each.variable: each.value for each in settings if each.value is not None}
    wrong = [
        match.rule
        for match in variables.check({**environ, **added}, installed, system)
        if match.value is not None
    ]
    return tuple(
        replace(each, traps=tuple(rule for rule in wrong if rule.variable == each.variable))
        if each.yours is not None
        else each
        for each in settings
    )


def here(
    installed: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    forks: bool = False,
) -> tuple[Setting, ...]:
    """Decide for this machine; ``installed`` are the versions of another environment on it.

    ``environ`` is by default that of this process. Takes milliseconds: on a Mac, those of sysctl.
    """
    known = versions.installed() if installed is None else installed
    return choose(
        hardware.probe(gpu_too=False),
        platform.system(),
        {**known, **c_library()},
        os.environ if environ is None else environ,
        forks=forks,
    )


def environment(
    installed: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    forks: bool = False,
) -> dict[str, str]:
    """Return the variables to add to ``environ`` on this machine; none of them is in it. See ``here``."""
    return {
        setting.variable: setting.value
        for setting in here(installed, environ, forks=forks)
        if setting.value is not None
    }


def c_library() -> dict[str, str]:
    """Return the version of glibc, or nothing where the C library is another one."""
    if platform.system() != "Linux":
        return {}
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (OSError, ValueError):  # musl knows no such name
        return {}
    return {GLIBC: version} if name == "glibc" and version else {}


def _not_here(
    rule: Rule, machine: Hardware, system: str, installed: Mapping[str, str], *, forks: bool
) -> str:
    """Return why a rule does not apply to this machine and these versions, or ""."""
    if rule.systems and system not in rule.systems:
        return f"it is for {' and '.join(_SYSTEMS.get(name, name) for name in rule.systems)}"
    if rule.machines and machine.machine not in rule.machines:
        return (
            "this Python is an Intel program under Rosetta"
            if machine.translated
            else "it is for Apple silicon"
        )
    for package, specifier in rule.where.items():
        version = installed.get(package)
        if version is None:
            return f"it is for {package} {specifier}, and there is no {package} here"
        try:
            # A nightly has the code of the release that it precedes.
            if not SpecifierSet(specifier).contains(Version(version).base_version):
                return f"it is for {package} {specifier}, and this is {version}"
        except ValueError:
            return f"it is for {package} {specifier}, and the version here is unknown"
    if rule.forks and not forks:
        return "it is for programs that fork after they have tokenised: --forks"
    return ""


def performance_cores(facts: _Facts) -> tuple[str | None, str]:
    """Return the number of performance cores."""
    cores = facts.hardware.performance_cores
    return (str(cores), "") if cores else (None, "the number of performance cores is unknown")


def high_watermark(facts: _Facts) -> tuple[str | None, str]:
    """Return the high watermark, unless the user's low one is above it: then torch refuses the pair."""
    high = _highest(facts.hardware)
    if high is None:
        return None, "the size of the memory is unknown"
    yours = facts.environ.get(LOW)
    if yours is not None and (variables.number(yours) or 0.0) > high:
        return None, f"your {LOW} is above {high:g}, from which on the memory is exceeded"
    return f"{high:g}", ""


def low_watermark(facts: _Facts) -> tuple[str | None, str]:
    """Return the low watermark below the high one, which may be the user's."""
    yours = facts.environ.get(HIGH)
    high = _highest(facts.hardware) if yours is None else variables.number(yours)
    if high is None and yours is None:
        return None, "the size of the memory is unknown"
    if not high or not 0 < high <= 2:  # also a text that is no number, which torch reads as 0.0
        return None, f"no low watermark belongs to your {HIGH}"
    return f"{_floor(high * _LOW_TO_HIGH):g}", ""


COMPUTED: Mapping[str, Callable[[_Facts], tuple[str | None, str]]] = {
    "performance_cores": performance_cores,
    "high_watermark": high_watermark,
    "low_watermark": low_watermark,
}
"""What ``compute`` names: each returns a value, or None and why there is none."""


def _highest(machine: Hardware) -> float | None:
    """Return the multiple of Metal's recommendation that is ``_MEMORY`` of the memory, or less."""
    if not machine.memory_bytes:
        return None
    memory = machine.memory_bytes / 2**30
    share = next(row["share"] for row in _document()["working_set"] if memory <= row["up_to"])
    return _floor(_MEMORY / share)


def _floor(ratio: float) -> float:
    """Round down to two digits or decimals, so that a limit stays below what it was computed from."""
    digits = max(2, 1 - math.floor(math.log10(ratio)))
    return math.floor(ratio * 10.0**digits) / 10.0**digits


@functools.cache
def _document() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("settings.toml").read_text("utf-8")
    return tomllib.loads(text)
