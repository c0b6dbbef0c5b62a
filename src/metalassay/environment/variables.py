"""Find environment variables that do not do what they are set for, by the rules in variables.toml."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from metalassay.fields import printable

VERDICTS = ("wrong", "useless", "dangerous", "too late")
SEVERITIES = ("error", "warning", "info")

_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")


@dataclass(frozen=True)
class Rule:
    """One row of variables.toml, which explains the fields."""

    id: str
    variable: str
    verdict: str
    severity: str
    says: str
    expected: str
    fix: str
    link: str
    value: str | None = None
    number: Mapping[str, Any] | None = None
    absent: bool = False
    without: str | None = None
    differs_from: str | None = None
    where: Mapping[str, str] | None = None
    systems: tuple[str, ...] = ()
    usable: bool = False


@dataclass(frozen=True)
class Match:
    """A rule that applies, and the value of its variable (None: not set)."""

    rule: Rule
    value: str | None

    @property
    def observed(self) -> str:
        """Return the assignment in shell syntax, shortened and printable."""
        if self.value is None:
            return f"{self.rule.variable} is not set"
        shown = printable(self.value).replace("\n", " ")
        return f"{self.rule.variable}={shown[:60]}{'…' if len(shown) > 60 else ''}"


@functools.cache
def load() -> tuple[Rule, ...]:
    """Return all rules, in the order of the file. Raises ``TypeError`` for an unknown field."""
    text = resources.files(__package__).joinpath("variables.toml").read_text("utf-8")
    return tuple(
        Rule(**{**row, "systems": tuple(row.get("systems", ()))})
        for row in tomllib.loads(text)["rule"]
    )


def check(
    environ: Mapping[str, str],
    versions: Mapping[str, str],
    system: str,
    *,
    usable: bool = False,
) -> tuple[Match, ...]:
    """Return the rules that apply to an environment.

    ``versions`` maps package names to versions, ``system`` is the value of ``platform.system()``,
    and ``usable`` is whether the probe found MPS usable.
    """
    return tuple(
        Match(rule, environ.get(rule.variable))
        for rule in load()
        if (not rule.systems or system in rule.systems)
        and (usable or not rule.usable)
        and _versions_fit(rule, versions)
        and _value_fits(rule, environ)
    )


def number(text: str) -> float | None:
    """Return the number with which a text begins, as C's strtod parses it, or None."""
    match = _NUMBER.match(text)
    return float(match[1]) if match else None


def _versions_fit(rule: Rule, versions: Mapping[str, str]) -> bool:
    for package, specifier in (rule.where or {}).items():
        try:
            # A nightly of 2.8 has the code of 2.8, although PEP 440 sorts it below.
            release = Version(versions[package]).base_version
        except (KeyError, ValueError):
            return False
        if not SpecifierSet(specifier).contains(release):
            return False
    return True


def _value_fits(rule: Rule, environ: Mapping[str, str]) -> bool:
    value = environ.get(rule.variable)
    if value is None:
        return rule.absent
    if rule.absent or (rule.without and rule.without in environ):
        return False
    if rule.differs_from and environ.get(rule.differs_from, value) == value:
        return False
    if rule.value is not None and not re.fullmatch(rule.value, value):
        return False
    return rule.number is None or _compares(rule.number, value, environ)


def _compares(wanted: Mapping[str, Any], value: str, environ: Mapping[str, str]) -> bool:
    value_number = number(value)
    if value_number is None:
        return False
    comparisons: Mapping[str, Callable[[float, Any], bool]] = {
        "at_least": lambda x, y: x >= y,
        "at_most": lambda x, y: x <= y,
        "above": lambda x, y: x > y,
        "below": lambda x, y: x < y,
        "outside": lambda x, y: not y[0] <= x <= y[1],
    }
    return all(
        comparisons[name](value_number, _bound(bound, environ)) for name, bound in wanted.items()
    )


def _bound(bound: Any, environ: Mapping[str, str]) -> Any:
    """Return a bound, or the value of the variable that it names."""
    if not isinstance(bound, Mapping):
        return bound
    text = environ.get(bound["variable"])
    # A value that is not a number counts as 0.0, as in torch.
    return bound["default"] if text is None else number(text) or 0.0
