"""What a type checker prints, reduced to the breaks between two packages.

A plain check of a package prints hundreds of lines. A line counts if it is about a name or an argument
of another package of the stack which the installed release lacks and another release has, by the API
history: that stands for the difference between the provider that the caller was released against and
the one that is installed, and needs no second copy of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from metalassay.bugs import api_history
from metalassay.linkcheck.checker import Diagnostic
from metalassay.linkcheck.uses import Use

RULES = {
    "ty": (
        "missing-module-member", "import-not-found", "unresolved-import", "unresolved-attribute",
        "missing-attribute", "unknown-argument", "too-many-positional-arguments", "missing-argument",
    ),
    "pyrefly": (
        "missing-module-attribute", "missing-import", "import-error", "missing-attribute",
        "unexpected-keyword", "bad-argument-count", "missing-argument", "bad-override",
        "bad-function-definition",
    ),
    "basedpyright": (
        "reportAttributeAccessIssue", "reportMissingImports", "reportCallIssue",
        "reportIncompatibleMethodOverride",
    ),
}  # fmt: skip
"""The rules of each checker that can show a break; all others are about types alone."""


@dataclass(frozen=True)
class _Pattern:
    kind: str
    text: re.Pattern[str]


_CALLEE = r"(?:of|to) (?:bound method |function |class |constructor )?`(?P<callee>[\w.]+)`"
_PATTERNS = (
    _Pattern("import", re.compile(r"Module `(?P<module>[\w.]+)` has no member `(?P<name>\w+)`")),
    _Pattern("module", re.compile(r"Cannot resolve imported module `(?P<module>[\w.]+)`")),
    _Pattern("attribute", re.compile(r"Object of type `(?P<owner>\w+)` has no attribute `(?P<name>\w+)`")),
    _Pattern("argument", re.compile(rf"Argument `(?P<name>\w+)` does not match any known parameter {_CALLEE}")),
    _Pattern("positional", re.compile(rf"Too many positional arguments {_CALLEE}: expected \d+, got (?P<count>\d+)")),
)  # fmt: skip


def relevant(checker: str, diagnostics: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """Yield the diagnostics whose rule can show a break."""
    return (each for each in diagnostics if each.rule in RULES[checker])


def new(before: Iterable[Diagnostic], after: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return what is only in ``after``; the same message on another line is not new."""
    known = {(each.path, each.rule, each.message) for each in before}
    return tuple(each for each in after if (each.path, each.rule, each.message) not in known)


def uses(diagnostic: Diagnostic, module: str, providers: Iterable[str]) -> tuple[Use, ...]:
    """Return what a line of ty says is missing, as uses of ``providers``; nothing for other lines."""
    for pattern in _PATTERNS:
        found = pattern.text.search(diagnostic.message)
        if found is None:
            continue
        part = found.groupdict()
        place = {"module": module, "line": diagnostic.line}
        if pattern.kind in ("import", "module"):
            target = part["module"]
            if target.partition(".")[0] not in providers:
                return ()
            if pattern.kind == "module":
                return (Use("module", target, **place),)  # type: ignore[arg-type]
            return (Use("import", f"{target}.{part['name']}", **place),)  # type: ignore[arg-type]
        if pattern.kind == "attribute":
            return tuple(
                Use("attribute", path, part["name"], **place)  # type: ignore[arg-type]
                for path in _paths(part["owner"], providers)
            )
        owner, _, member = part["callee"].rpartition(".")
        given = {
            "keywords": (part["name"],) if pattern.kind == "argument" else (),
            "positional": int(part.get("count") or 1) - 1 if pattern.kind == "positional" else 0,
            "open": pattern.kind == "argument",
        }
        if owner and member != "__init__":
            return tuple(
                Use("method", path, member, **given, **place)  # type: ignore[arg-type]
                for path in _paths(owner.rpartition(".")[2], providers)
            )
        name = (owner or member).rpartition(".")[2]
        return tuple(Use("call", path, **given, **place) for path in _paths(name, providers))  # type: ignore[arg-type]
    return ()


def _paths(name: str, providers: Iterable[str]) -> tuple[str, ...]:
    """Return the one class or function of the providers with a name; nothing if there are several."""
    found = [
        path
        for provider in providers
        if provider in api_history.PACKAGES
        for path in api_history.history(provider).paths(name)
    ]
    return tuple(found) if len(found) == 1 else ()
