"""Methods that override one of another package, and are called by it otherwise than they expect.

The base class calls ``self.method(…)`` or hands ``self.method`` on; a subclass of another package
that was written for an older base does not accept the arguments. A type checker sees neither.
"""

from __future__ import annotations

from collections.abc import Mapping
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

    ``entry`` is the public entry of the base's package that leads to the call, with its strength.
    """

    positional: int
    keywords: tuple[str, ...]
    callback: bool
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
                positional, call.keywords, call.kind == "callback", where.entry,
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


def broken(use: Use, base: str, provider: Package, shapes: Shapes) -> tuple[str, Shape] | None:
    """Return what an overriding method refuses of the calls of its base class ``base``, and which.

    ``base`` is the path at which the class is defined in this release of the provider.
    """
    own = api_history.parse(use.signature)
    if own is None:
        return None
    worst: tuple[str, Shape] | None = None
    for path in (base, *provider.bases(base)):
        for shape in shapes.get(path, {}).get(use.member, ()):
            what = refused(own, shape)
            if what and (worst is None or shape.strength > worst[1].strength):
                worst = (what, shape)
    return worst
