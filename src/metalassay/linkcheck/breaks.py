"""What the link check reports: one thing that a package needs and another, as installed, lacks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

KINDS = (
    "import",  # a name or a module that is not there
    "argument",  # a keyword that is not accepted
    "positional",  # more positional arguments than are accepted, or a required one that is not given
    "attribute",  # an attribute or a method that an object does not have
    "override",  # a method that is called otherwise than the class that overrides it expects
    "return",  # a function that returns something else than its caller tests
    "floor",  # a version that the package itself refuses when it runs
    "metadata",  # a version that the package's Requires-Dist excludes; nothing need break
)

CERTAIN, LIKELY, POSSIBLE = "certain", "likely", "possible"


@dataclass(frozen=True)
class Break:
    """One break between two releases.

    ``what`` is the name or the argument, as in "accelerate.Accelerator.__init__(dispatch_batches)".
    ``where`` is the place in the caller, as in "transformers/trainer.py:400". ``entry`` is the public
    entry that reaches it: "import", "Trainer", "GRPOTrainer"; empty if none of ordinary use does.
    ``guarded``: the caller tests a version or catches the error. ``since`` is the first release of
    ``changed`` (the provider or the caller) with the break. ``works`` are spans of releases of the
    provider that have what is missing, as pairs of first and last. ``stops``: it stops the import of
    the caller, or ordinary training with it. ``confidence`` is "certain" where the path from the entry
    to the break has no condition, "likely" where it has conditions that ordinary use meets, and
    "possible" for everything else. ``note`` says what to know besides.
    """

    caller: str
    caller_version: str
    provider: str
    provider_version: str
    kind: str
    what: str
    where: str
    entry: str = ""
    guarded: bool = False
    stops: bool = False
    confidence: str = POSSIBLE
    since: str = ""
    changed: str = ""
    works: tuple[tuple[str, str], ...] = ()
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data, in the order of the fields."""
        return asdict(self) | {"works": [list(span) for span in self.works]}

    @property
    def order(self) -> tuple[Any, ...]:
        """Return the key of the usual order: what stops first, then what is certain, then by name."""
        sure = (CERTAIN, LIKELY, POSSIBLE).index(self.confidence)
        return (not self.stops, self.guarded, sure, KINDS.index(self.kind), self.caller, self.where)


def in_order(breaks: Iterable[Break]) -> tuple[Break, ...]:
    """Return breaks in the usual order, each once."""
    return tuple(sorted(dict.fromkeys(breaks), key=lambda each: each.order))
