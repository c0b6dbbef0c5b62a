"""What the MPS backend of a torch release does with each aten operator. Imports no torch.

Overloads are named as in ``native_functions.yaml``: ``add.Tensor``, or ``mode`` for the overload
without a name. The answers are about the dispatch of dense tensors: an existing kernel may still
reject a dtype or a shape, or compute wrong numbers. The few overloads that PyTorch defines only in
C++ (``quantized_lstm.input``) are not in that file and count as absent.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from packaging.version import Version

from metalassay import pep440
from metalassay.errors import UserError

if TYPE_CHECKING:
    from importlib.abc import Traversable

State = Literal["kernel", "composite", "fallback", "missing", "absent"]


@dataclass(frozen=True)
class Operators:
    """The aten overloads of one torch release, grouped by what happens to a tensor on ``mps``.

    ``kernels`` have a kernel. ``composites`` are made of other operators, which decide.
    ``fallbacks`` always run on the CPU, with a warning. ``missing`` raise ``NotImplementedError``,
    or run on the CPU with ``PYTORCH_ENABLE_MPS_FALLBACK=1``; ``cpu_only`` is the subset with a CPU
    kernel, the only ones that users of dense tensors meet. ``sparse_kernels`` belong to the separate
    backend SparseMPS. ``git`` is the commit that the release was built from.

    One kernel, ``_slow_conv2d_forward``, only raises an error: input and weight are on different
    devices.
    """

    torch: str
    git: str
    kernels: frozenset[str]
    composites: frozenset[str]
    fallbacks: frozenset[str]
    missing: frozenset[str]
    cpu_only: frozenset[str]
    sparse_kernels: frozenset[str]
    _asks: Mapping[str, str]

    def state(self, overload: str) -> State:
        """Return the state of an overload, given with or without ``aten::``."""
        name = plain(overload)
        if name in self.kernels:
            return "kernel"
        if name in self.composites:
            return "composite"
        if name in self.fallbacks:
            return "fallback"
        return "missing" if name in self.missing else "absent"

    def asks(self, overload: str) -> str:
        """Return the overload whose kernel is looked up, which errors and warnings then name.

        This is the overload itself, except for the functional and in-place variants of a structured
        operator without a kernel: ``special_airy_ai`` looks up ``special_airy_ai.out``.
        """
        name = plain(overload)
        return self._asks.get(name, name)

    @property
    def overloads(self) -> frozenset[str]:
        """All aten overloads of this release."""
        return self.kernels | self.composites | self.fallbacks | self.missing


def plain(overload: str) -> str:
    """Return the name as in the yaml, given ``aten::mode`` or torch.ops' ``aten.mode.default``."""
    return overload.removeprefix("aten::").removeprefix("aten.").removesuffix(".default")


@functools.cache
def versions() -> tuple[str, ...]:
    """Return the known torch versions, oldest first: the latest patch release of each minor."""
    names = (path.name for path in _folder().iterdir())
    known = [name.removesuffix(".json") for name in names if name[0].isdigit()]
    return tuple(sorted(known, key=Version))


@functools.cache
def load(version: str) -> Operators:
    """Return the operators of a torch version; a patch release gets those of its minor version.

    Accepts ``2.8``, ``2.8.0`` and ``2.13.0+cpu``. Raises ``UserError`` if ``version`` is not a
    version, or if its minor version is not known: the operators of another one would be a guess.
    """
    asked = pep440.version_of(version)
    if asked is None:
        raise UserError(f"{version!r} is not a version", "give a version such as 2.13 or 2.13.0")
    minor = asked.release[:2]
    for known in versions():
        if Version(known).release[:2] == minor:
            return _read(known)
    oldest, newest = versions()[0], versions()[-1]
    raise UserError(
        f"the operators of torch {version} are not known; known are {oldest} to {newest}",
        f"choose a version from {oldest} to {newest}, or update metalassay",
    )


@functools.cache
def _read(version: str) -> Operators:
    record: dict[str, Any] = json.loads((_folder() / f"{version}.json").read_text("utf-8"))
    kernel_groups = ("kernels", "kernels_by_hand", "kernels_in_python")
    cpu_only = _names(record["cpu_only"])
    return Operators(
        torch=record["torch"],
        git=record["git"],
        kernels=frozenset().union(*(_names(record[group]) for group in kernel_groups)),
        composites=_names(record["composites"]),
        fallbacks=_names(record["fallbacks"]),
        missing=cpu_only | _names(record["elsewhere"]),
        cpu_only=cpu_only,
        sparse_kernels=_names(record["sparse_kernels"]),
        _asks=record["asks"],
    )


def _names(by_operator: Mapping[str, str]) -> frozenset[str]:
    """Return overload names from the files' form, which groups them by operator to stay small."""
    return frozenset(
        operator if overload == "default" else f"{operator}.{overload}"
        for operator, overloads in by_operator.items()
        for overload in overloads.split(" ")
    )


def _folder() -> Traversable:
    return resources.files(__package__)
