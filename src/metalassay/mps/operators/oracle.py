"""What the MPS backend of a torch version does with an operator. Reads ``operators/``; no torch.

An overload is written as in ``native_functions.yaml``: ``add.Tensor``, or ``mode`` for the one
without a name. What is said holds for dense tensors and for the dispatch alone: a kernel may still
refuse a dtype or a shape, and numbers are another matter. The few overloads that PyTorch defines in
C++ alone (``quantized_lstm.input``) are not in that file and are called absent.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from packaging.version import InvalidVersion, Version

from metalassay.errors import UserError

if TYPE_CHECKING:
    from importlib.abc import Traversable

State = Literal["kernel", "composite", "fallback", "missing", "absent"]


@dataclass(frozen=True)
class Operators:
    """The aten overloads of one torch, by what happens when they meet a tensor on ``mps``.

    ``kernels``: they have a kernel. ``composites``: made of other operators, which decide.
    ``fallbacks``: always run on the CPU, with a warning. ``missing``: ``NotImplementedError``, or on
    the CPU with ``PYTORCH_ENABLE_MPS_FALLBACK=1``; ``cpu_only`` are those of them that have a CPU
    kernel, the only ones that users of dense tensors meet. ``sparse_kernels`` belong to the backend
    SparseMPS, apart from all others. ``wheel`` and ``git`` say what was read.
    """

    torch: str
    wheel: str
    git: str
    kernels: frozenset[str]
    composites: frozenset[str]
    fallbacks: frozenset[str]
    missing: frozenset[str]
    cpu_only: frozenset[str]
    sparse_kernels: frozenset[str]
    by_hand: frozenset[str]
    """The kernels that PyTorch's own list, ``native_functions.yaml``, does not show. One of them,
    ``_slow_conv2d_forward``, only raises: input and weight are on different devices."""
    _asks: Mapping[str, str]

    def state(self, overload: str) -> State:
        """Return the group of an overload, written with or without ``aten::``."""
        name = plain(overload)
        if name in self.kernels:
            return "kernel"
        if name in self.composites:
            return "composite"
        if name in self.fallbacks:
            return "fallback"
        return "missing" if name in self.missing else "absent"

    def asks(self, overload: str) -> str:
        """Return the overload whose kernel is asked for, which errors and warnings then name.

        That is the overload itself but for the functional and in-place variants of a structured
        operator without a kernel: ``special_airy_ai`` asks for ``special_airy_ai.out``.
        """
        name = plain(overload)
        return self._asks.get(name, name)

    @property
    def overloads(self) -> frozenset[str]:
        """All aten overloads that this torch has."""
        return self.kernels | self.composites | self.fallbacks | self.missing


def plain(overload: str) -> str:
    """Return a name as in the yaml, for ``aten::mode`` and for torch.ops' ``aten.mode.default``."""
    return overload.removeprefix("aten::").removeprefix("aten.").removesuffix(".default")


@functools.cache
def versions() -> tuple[str, ...]:
    """Return the torch versions that are known, the oldest first: the newest patch of each minor."""
    names = (each.name for each in _folder().iterdir())
    found = [name.removesuffix(".json") for name in names if name.endswith(".json")]
    return tuple(sorted(found, key=Version))


def load(version: str) -> Operators:
    """Return the operators of a torch version; of a patch release, those of its minor.

    Accepts ``2.8``, ``2.8.0``, ``2.13.0+cpu``. Raises ``UserError`` for a version that is none, and
    for a minor whose wheel was not read: the operators of another one would be a guess.
    """
    try:
        wanted = Version(version).release[:2]
    except InvalidVersion:
        raise UserError(f"{version!r} is not a version", "give one as 2.13 or 2.13.0") from None
    for known in versions():
        if Version(known).release[:2] == wanted:
            return _read(known)
    raise UserError(
        f"the operators of torch {version} are not known, those of {versions()[0]} to"
        f" {versions()[-1]} are",
        "add it to torch_versions.toml and run: nox -s oracle",
    )


@functools.cache
def _read(version: str) -> Operators:
    record: dict[str, Any] = json.loads((_folder() / f"{version}.json").read_text("utf-8"))
    by_hand = _names(record["kernels_by_hand"]) | _names(record["kernels_in_python"])
    cpu_only = _names(record["cpu_only"])
    return Operators(
        torch=record["torch"],
        wheel=record["wheel"],
        git=record["git"],
        kernels=_names(record["kernels"]) | by_hand,
        composites=_names(record["composites"]),
        fallbacks=_names(record["fallbacks"]),
        missing=cpu_only | _names(record["elsewhere"]),
        cpu_only=cpu_only,
        sparse_kernels=_names(record["sparse_kernels"]),
        by_hand=by_hand,
        _asks=record["asks"],
    )


def _names(grouped: Mapping[str, str]) -> frozenset[str]:
    """Undo the grouping by operator that keeps the files small."""
    return frozenset(
        base if overload == "default" else f"{base}.{overload}"
        for base, overloads in grouped.items()
        for overload in overloads.split(" ")
    )


def _folder() -> Traversable:
    return resources.files(__package__)
