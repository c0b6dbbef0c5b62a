"""Methods that override one of another package, and are called by it otherwise than they expect.

The base class calls ``self.method(…)`` or hands ``self.method`` on; a subclass of another package
that was written for an older base does not accept the arguments. A type checker sees neither.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from metalassay.bugs import api_history
from metalassay.bugs.api_history import Signature
from metalassay.linkcheck import guards
from metalassay.linkcheck.judge import lacks, room
from metalassay.linkcheck.reach import Reach
from metalassay.linkcheck.source import Package
from metalassay.linkcheck.uses import Use


@dataclass(frozen=True)
class Shape:
    """One way in which a class calls its own method, or hands it on (``callback``).

    ``inside`` is the method that does so. ``entry`` is the public entry of the base's package that
    leads to the call, with its strength.
    """

    positional: int
    keywords: tuple[str, ...]
    callback: bool
    inside: str
    entry: str
    strength: int


Shapes = Mapping[str, Mapping[str, tuple[Shape, ...]]]
"""By the path of a class and the name of its method."""


def shapes(package: Package, reach: Reach) -> Shapes:
    """Return how the classes of a package call their own methods."""
    found: dict[str, dict[str, dict[Shape, None]]] = {}
    for module in package.modules.values():
        for call in module.self_calls:
            if call.open and call.kind == "self":
                continue
            positional = call.positional
            if call.kind == "callback":
                owner = package.class_at(call.target)
                own = api_history.parse(owner.methods.get(call.member, "?")) if owner else None
                if own is None or own.any_positional:
                    continue
                positional = room(own)
            where = reach.of(call.module, call.function, call.conditions, "call")
            strength = where.strength or guards.strength(call.conditions, "call")
            shape = Shape(
                positional, call.keywords, call.kind == "callback",
                call.function.rpartition(".")[2], where.entry,
                strength if where.entry else guards.NEVER,
            )  # fmt: skip
            found.setdefault(call.target, {}).setdefault(call.member, {})[shape] = None
    return {
        path: {name: tuple(each) for name, each in methods.items()}
        for path, methods in found.items()
    }


def refused(own: Signature, shape: Shape) -> str:
    """Return what a method does not accept of a call, as words; nothing if it accepts it all."""
    names = [each for each in own.positional if each not in ("self", "cls")]
    if not own.any_positional and shape.positional > len(names):
        return f"{shape.positional} positional argument{'s' if shape.positional != 1 else ''}"
    for keyword in shape.keywords:
        if own.accepts(keyword) is False:
            return keyword
    for needed in sorted(own.required):
        if lacks(own, needed, shape.positional, shape.keywords):
            return f"{needed} is required"
    return ""


def renamed(own: Signature, base: Signature | None, shape: Shape) -> str:
    """Return the names that two or more positional arguments have in the base, if none is the same here.

    The call is accepted, but the method is another one that happens to have the same name.
    """
    if base is None or shape.positional < 2 or shape.keywords or own.any_positional:
        return ""
    theirs = [each for each in base.positional if each != "self"][: shape.positional]
    mine = [each for each in own.positional if each != "self"][: shape.positional]
    if len(theirs) == len(mine) == shape.positional and not {*theirs} & {*mine}:
        return ", ".join(theirs)
    return ""


def replaced(package: Package, path: str) -> frozenset[str]:
    """Return the methods that a class, or one above it in its package, replaces without ``super()``."""
    found: set[str] = set()
    for each in (path, *package.bases(path)):
        own = package.class_at(each)
        if own is None:
            break
        module, _, name = package.resolve(each).rpartition(".")
        continued = {
            edge.source
            for edge in package.modules[module].edges
            if edge.target.startswith("super:")
            and edge.target.rpartition(".")[2] == edge.source.rpartition(".")[2]
        }
        found |= {method for method in own.methods if f"{name}.{method}" not in continued}
    return frozenset(found)


def worst(
    own: Signature,
    calls: Iterable[Shape],
    replaced: Container[str],
    base: Signature | None,
) -> tuple[str, Shape] | None:
    """Return what a method refuses of some calls, and the call that is reached most surely."""
    found: tuple[str, Shape] | None = None
    for shape in calls:
        if shape.inside in replaced:
            continue
        what = refused(own, shape) or renamed(own, base, shape)
        if what and (found is None or shape.strength > found[1].strength):
            found = (what, shape)
    return found


def broken(
    use: Use, owner: str, caller: Package, provider: Package, shapes: Shapes
) -> tuple[str, Shape] | None:
    """Return what the method of the class ``owner`` refuses of the calls of the class above it."""
    own = api_history.parse(use.signature)
    if own is None:
        return None
    base = provider.resolve(use.target)
    above = (base, *provider.bases(base))
    calls = [shape for path in above for shape in shapes.get(path, {}).get(use.member, ())]
    written = (provider.class_at(path) for path in above)
    theirs = next(
        (each.methods[use.member] for each in written if each and use.member in each.methods), "?"
    )
    return worst(own, calls, replaced(caller, owner), api_history.parse(theirs))
