"""What PyTorch's own tests expect of an operator and a dtype on MPS. Imports no torch.

Read from dtypes.json, which tools/mps_dtypes.py takes from the test lists in the macOS wheels since torch
2.8. The lists name OpInfos, the entries of PyTorch's database of tests; which kernels each one calls was
recorded, and from both it follows which kernel refuses which dtype.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from packaging.version import Version

from metalassay.errors import UserError
from metalassay.mps.operators.oracle import plain

SCHEMA = "metalassay.dtypes/1"
# The dtypes by the name that PyTorch's errors use.
NAMES: Mapping[str, str] = {
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexFloat": "complex64",
    "ComplexHalf": "complex32",
}


@dataclass(frozen=True)
class Dtypes:
    """The dtypes of one release's kernels.

    ``refused`` maps a kernel (``avg_pool2d.out``) and a dtype to the OpInfo that PyTorch expects to fail.
    ``taken`` maps a kernel to dtypes that it takes on MPS, although the CPU has no kernel for them.
    """

    torch: str
    refused: Mapping[str, Mapping[str, str]]
    taken: Mapping[str, tuple[str, ...]]

    def reason(self, overload: str, dtype: str) -> str:
        """Return why a kernel refuses a dtype as a sentence, or "" if nothing says that it does."""
        opinfo = self.refused.get(overload, {}).get(dtype)
        if opinfo is None:
            return ""
        return (
            f"aten::{overload} does not take {dtype} on MPS in torch {self.torch}: PyTorch's own tests"
            f" expect {opinfo} to fail with it (what a Mac's error says is not known)"
        )


@functools.cache
def load(version: str) -> Dtypes | None:
    """Return the dtypes of a release, as ``oracle.load`` names it; None before torch 2.8."""
    release = _record()["releases"].get(version)
    if release is None:
        return None
    taken = {kernel: tuple(dtypes.split()) for kernel, dtypes in release["taken"].items()}
    return Dtypes(version, release["refused"], taken)


def versions() -> tuple[str, ...]:
    """Return the releases whose lists are known, oldest first."""
    return tuple(sorted(_record()["releases"], key=Version))


def double_on_cpu() -> frozenset[str]:
    """Return the kernels that return float64 on the CPU for a call without float64, and float32 on MPS."""
    return frozenset(_record()["double_on_cpu"])


def ever_refused() -> dict[str, list[str]]:
    """Return, by kernel, the dtypes that it refuses in some release."""
    found: dict[str, set[str]] = {}
    for version in versions():
        known = load(version)
        for kernel, refused in known.refused.items() if known else ():
            found.setdefault(kernel, set()).update(refused)
    return {kernel: sorted(refused) for kernel, refused in sorted(found.items())}


def answers(overload: str, dtype: str) -> tuple[str, ...]:
    """Return a line per release whose tests expect a kernel to refuse a dtype, oldest first.

    Takes an overload, or an operator for all its overloads. Raises ``UserError`` for another dtype.
    """
    if dtype not in NAMES.values():
        raise UserError(
            f"{dtype!r} is not a dtype that PyTorch tests on MPS",
            f"one of {', '.join(NAMES.values())}",
        )
    lines = []
    for version in versions():
        known = load(version)
        for kernel in known.refused if known else ():
            same = plain(overload) == kernel or plain(overload) == kernel.partition(".")[0]
            if known and same and (reason := known.reason(kernel, dtype)):
                lines.append(reason)
    return tuple(lines)


@functools.cache
def _record() -> Mapping[str, Any]:
    text = resources.files(__package__).joinpath("dtypes.json").read_text("utf-8")
    record: Mapping[str, Any] = json.loads(text)
    return record
