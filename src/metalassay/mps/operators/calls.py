"""Which operators a release's own composites and autograd formulas call. Imports no torch.

Read from calls.json, which tools/oracle_calls.py reads from the code in the macOS wheels. What the
installed torch calls inside an operator may differ from what another release calls there; these data
tell whether that release does. All branches of the code count: a call that is listed *may* happen, and
one that is not listed does not.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Literal

from packaging.version import Version

from metalassay.mps.operators.oracle import Operators

SCHEMA = "metalassay.calls/1"

Answer = Literal["calls", "does not call", "cannot tell"]


def answer(caller: str, operator: str, release: Operators) -> Answer:
    """Return whether ``caller``, in a release, calls an operator, itself or through composites.

    ``caller`` is an overload or an autograd formula such as ``SoftmaxBackward0``. An operator with a
    kernel for MPS, or that always runs on the CPU, dispatches nothing. "cannot tell" stands for a
    caller that the release does not have, or whose code could not be read.
    """
    if operator not in release.overloads:
        return "does not call"
    if release.state(caller) in ("kernel", "fallback"):
        return "does not call"
    called = reached(caller, release.torch)
    if called is None:
        return "cannot tell"
    # The functional and the in-place variant use the kernel of .out, so variants are not distinguished.
    same = any(base(name) == base(operator) for name in called)
    return "calls" if same else "does not call"


def base(overload: str) -> str:
    """Return the operator of an overload: ``isneginf`` for ``isneginf.out`` and ``isneginf_``."""
    return overload.partition(".")[0].rstrip("_")


def inside(callers: Iterable[str], operator: str, release: Operators, seen_in: Operators) -> Answer:
    """Return whether an operator is called inside of ``callers``, which call each other, in a release.

    It was seen there in the release ``seen_in``. A caller is an overload, or several joined by "|" of
    which it is not known which one was called; or an autograd formula, which is ignored unless it is
    known to call the operator in ``seen_in``: a checkpoint runs a forward pass inside of it.
    """
    answers = []
    for caller in callers:
        overloads = caller.split("|")
        known = any(answer(overload, operator, seen_in) == "calls" for overload in overloads)
        if "Backward" in caller and not known:
            continue
        found = {answer(overload, operator, release) for overload in overloads}
        if known and found == {"does not call"}:
            return "does not call"
        # A call that the data do not have although it was seen is made through a pointer.
        answers.append("calls" if "calls" in found else "cannot tell")
    return "calls" if "calls" in answers or not answers else "cannot tell"


def reached(caller: str, version: str) -> frozenset[str] | None:
    """Return the operators, of those ever without a kernel, that a caller may call; None: not known."""
    found: str | None = None
    for since, calls in _calls().get(caller, {}).items():
        if Version(since) > Version(version):
            break
        found = calls
    return None if found is None else frozenset(found.split())


def callers() -> tuple[str, ...]:
    """Return every composite and autograd formula that is known to call such an operator."""
    return tuple(_calls())


@functools.cache
def _calls() -> Mapping[str, Mapping[str, str | None]]:
    text = resources.files(__package__).joinpath("calls.json").read_text("utf-8")
    calls: Mapping[str, Mapping[str, str | None]] = json.loads(text)["calls"]
    return calls
