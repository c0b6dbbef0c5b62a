"""Whether a release of a provider has what a use needs, by the API history.

A use counts as broken in a release only where another release has what it needs: a name that no
release ever had is noise, and so is everything that the source does not tell.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from metalassay.bugs import api_history
from metalassay.bugs.api_history import History, Signature, Timeline
from metalassay.linkcheck.uses import Use

_IN_EVERY_MODULE = frozenset(
    {"__name__", "__file__", "__version__", "__doc__", "__path__", "__spec__"}
)
_IN_EVERY_CLASS = frozenset(dir(object)) | {
    "__dict__",
    "__name__",
    "__annotations__",
    "__wrapped__",
}


@dataclass(frozen=True)
class Finding:
    """Something that a use needs: kind, name, and the releases of the provider that have it."""

    kind: str
    what: str
    has: Timeline

    def broken(self, version: str) -> bool:
        """Return whether a version of the provider is without it, though another release has it."""
        return self.has.at(version) is False and self.has.ever


def findings(use: Use) -> tuple[Finding, ...]:
    """Return what a use needs that some release of its provider has, and another has not."""
    if use.target.partition(".")[0] not in api_history.PACKAGES:
        return ()
    return _findings(*use.question)


@functools.lru_cache(65536)
def _findings(
    kind: str, target: str, member: str, positional: int, keywords: tuple[str, ...], is_open: bool,
    signature: str,
) -> tuple[Finding, ...]:  # fmt: skip
    history = api_history.history(target.partition(".")[0])
    found: Iterator[Finding]
    if kind == "import":
        found = _imported(history, target)
    elif kind == "module":
        found = iter([Finding("import", target, history.module(target))])
    elif kind == "name":
        found = _named(history, target)
    elif kind in ("call", "method"):
        found = _called(history, target, member, positional, keywords, is_open)
    elif kind == "attribute":
        found = _attribute(history, target, member)
    else:
        found = iter(())
    return tuple(each for each in found if each.has.ever and False in each.has.states)


def _imported(history: History, target: str) -> Iterator[Finding]:
    module, _, name = target.rpartition(".")
    yield Finding("import", target, either(history.name(module, name), history.module(target)))


def _named(history: History, target: str) -> Iterator[Finding]:
    """Yield what a dotted name such as ``transformers.trainer.Trainer`` needs, or nothing if unsure."""
    module, _, name = target.rpartition(".")
    if history.module(module).ever and name not in _IN_EVERY_MODULE:
        yield Finding(
            "attribute", target, either(history.name(module, name), history.module(target))
        )


def either(one: Timeline, other: Timeline) -> Timeline:
    """Return a timeline that is true where either is, and false only where both are."""
    states = tuple(
        True if True in pair else None if None in pair else False
        for pair in zip(one.states, other.states, strict=True)
    )
    return Timeline(one.package, one.releases, states)


def callable_at(history: History, target: str, member: str, index: int) -> Signature | None:
    """Return the signature of a function, of a class, or of a class's method; None if it is unknown."""
    path = place(history, target, index)
    if path is None:
        return None
    if path in history.classes and history.exists(path, index):
        found = api_history.method(path, member or "__init__", {history.package: index})
        return found.signature if isinstance(found, api_history.Method) else None
    if member:
        return None
    found_function = history.function(path, index)
    return found_function if isinstance(found_function, Signature) else None


def place(history: History, target: str, index: int) -> str | None:
    """Return where a class or function is defined in a release, None if that is not certain."""
    if history.exists(target, index):
        return target
    module, _, name = target.rpartition(".")
    candidates = [each for each in history.paths(name) if history.exists(each, index)]
    near = [each for each in candidates if each.startswith(f"{module}.")]
    if len(near) == 1:
        return near[0]
    return candidates[0] if len(candidates) == 1 else None


def _called(
    history: History, target: str, member: str, positional: int, keywords: tuple[str, ...],
    is_open: bool,
) -> Iterator[Finding]:  # fmt: skip
    name = f"{target}.{member}" if member else target
    if member and member not in _IN_EVERY_CLASS:
        yield from _attribute(history, target, member)
    signatures = [
        callable_at(history, target, member, index) for index in range(len(history.releases))
    ]
    if not any(signatures):
        return
    is_class = any(
        (path := place(history, target, index)) is not None and path in history.classes
        for index in range(len(history.releases))
    )
    shown = f"{name}.__init__" if is_class and not member else name

    def timeline(state: Callable[[Signature], bool | None]) -> Timeline:
        return history.timeline(
            lambda index: None if (each := signatures[index]) is None else state(each)
        )

    for keyword in keywords:
        yield Finding(
            "argument",
            f"{shown}({keyword})",
            timeline(lambda each, k=keyword: each.accepts(k)),  # type: ignore[misc]
        )
    if is_open:
        return
    yield Finding(
        "positional", f"{shown}({_count(positional)})",
        timeline(lambda each: each.any_positional or positional <= room(each)),
    )  # fmt: skip
    required = sorted({name for each in signatures if each for name in each.required})
    for needed in required:
        yield Finding(
            "positional", f"{shown}({needed} is required)",
            timeline(lambda each, n=needed: not lacks(each, n, positional, keywords)),  # type: ignore[misc]
        )  # fmt: skip


def _count(positional: int) -> str:
    return f"{positional} positional argument{'s' if positional != 1 else ''}"


def room(signature: Signature) -> int:
    """Return how many positional arguments a callable takes, without ``self``."""
    return len([each for each in signature.positional if each not in ("self", "cls")])


def lacks(signature: Signature, name: str, positional: int, keywords: tuple[str, ...]) -> bool:
    """Return whether a required argument is not given."""
    if name not in signature.required or name in keywords:
        return False
    if any(signature.renamed.get(each) == name for each in keywords):
        return False
    names = [each for each in signature.positional if each not in ("self", "cls")]
    return name not in names[:positional]


def _attribute(history: History, target: str, member: str) -> Iterator[Finding]:
    if member in _IN_EVERY_CLASS:
        return

    def state(index: int) -> bool | None:
        path = place(history, target, index)
        if path is None or path not in history.classes:
            return None
        found = api_history.has_attribute(path, member, {history.package: index})
        return None if found is False and _imported_as_method(history, member, index) else found

    yield Finding("attribute", f"{target}.{member}", history.timeline(state))


def _imported_as_method(history: History, name: str, index: int) -> bool:
    """Return whether a function takes ``self``: a class body may import it, as Trainer's does."""
    for path in history.paths(name):
        found = history.function(path, index)
        if isinstance(found, Signature) and found.positional[:1] == ("self",):
            return True
    return False
