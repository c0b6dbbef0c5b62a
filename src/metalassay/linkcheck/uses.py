"""What one module of a package uses of other packages, and what it defines itself."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Use:
    """One use of another package.

    ``kind``: "import" (``target`` is a dotted name), "module" (``import target``), "call" (of a function
    or class ``target``), "method" (``member`` of the class ``target`` is called), "attribute" (``member``
    of an object of the class ``target`` is read), "override" (a class below ``target`` defines ``member``)
    or "truth" (the result of the function ``target`` is taken as true or false). ``positional`` and
    ``keywords`` are the arguments; with ``open`` there are others behind ``*`` or ``**``. For an override,
    ``signature`` is its own, written as in the API history; ``member`` of a "truth" is the first argument. ``function`` is where it stands, as
    "Trainer._wrap_model", empty at module level.
    """

    kind: str
    target: str
    member: str = ""
    positional: int = 0
    keywords: tuple[str, ...] = ()
    open: bool = False
    signature: str = ""
    module: str = ""
    function: str = ""
    line: int = 0
    conditions: tuple[str, ...] = ()

    @property
    def question(self) -> tuple[object, ...]:
        """Return what decides whether a release of the provider has it."""
        return (
            self.kind, self.target, self.member, self.positional, self.keywords, self.open,
            self.signature,
        )  # fmt: skip


@dataclass(frozen=True)
class Edge:
    """A function refers to another of its package: a dotted path, or "self.name" within a class."""

    source: str
    target: str
    conditions: tuple[str, ...] = ()


@dataclass
class Class:
    """A class of the caller: its bases (dotted, where they are imported from) and what it defines."""

    name: str
    bases: tuple[str, ...]
    methods: dict[str, str] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)
    lines: dict[str, int] = field(default_factory=dict)


@dataclass
class Module:
    """What one module of the caller uses, defines and refers to."""

    name: str
    path: str
    uses: list[Use] = field(default_factory=list)
    classes: dict[str, Class] = field(default_factory=dict)
    defined: set[str] = field(default_factory=set)
    imports: list[Edge] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    self_calls: list[Use] = field(default_factory=list)
    """How its classes call their own methods: kind "self", or "callback" for one that is passed on."""
    tuples: set[str] = field(default_factory=set)
    """Functions that return a tuple wherever they return."""
    optional: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    """Imports of packages that are not followed: function, package, conditions."""
    lazy: bool = False
