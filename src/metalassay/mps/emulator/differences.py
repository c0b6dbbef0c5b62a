"""What differs between the emulated release and the installed torch, which runs the program.

Composites and autograd formulas are the installed torch's, and may call operators that those of the
emulated release do not call. Such a call says nothing about the release, so it must not fail.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from metalassay.errors import UserError
from metalassay.mps.operators import calls, dtypes, oracle
from metalassay.mps.operators.oracle import Operators

Callers = dict[str, list[str]]


@dataclass(frozen=True)
class Differences:
    """What the emulator registers, and what it does not hold against the release.

    ``kernels`` have a kernel. ``rejected`` have none, although they are composites here. ``absent`` do
    not exist in the release. ``not_called`` maps a composite (``aten::softmax.int``) or a formula to the
    operators without a kernel that it calls only here; ``cannot_tell`` to those of which that is not
    known. Operators are given without overload and trailing underscore.
    """

    kernels: frozenset[str]
    rejected: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    not_called: Callers = field(default_factory=dict)
    cannot_tell: Callers = field(default_factory=dict)


def between(release: Operators, installed: str, *, fallback: bool) -> Differences:
    """Return the differences between a release and the installed torch, given by its version.

    Only operators that differ matter: one that has become a composite must stay one, or it would lose
    its autograd formula.
    """
    try:
        here = oracle.load(installed)
    except UserError:  # the installed torch is newer than the data
        return Differences(release.kernels)
    if here.torch == release.torch:
        return Differences(release.kernels)
    not_called, cannot_tell = _callers(release, here)
    return Differences(
        kernels=release.kernels - here.composites,
        rejected=frozenset() if fallback else release.cpu_only & here.composites,
        absent=here.overloads - here.composites - release.overloads,
        not_called=not_called,
        cannot_tell=cannot_tell,
    )


def _callers(release: Operators, here: Operators) -> tuple[Callers, Callers]:
    not_called: Callers = {}
    cannot_tell: Callers = {}
    for caller in calls.callers():
        answers: dict[str, set[str]] = {}
        for operator in calls.reached(caller, here.torch) or ():
            if release.state(operator) == "missing":
                answers.setdefault(calls.base(operator), set()).add(
                    calls.answer(caller, operator, release)
                )
        name = caller if caller not in here.overloads else f"aten::{caller}"
        for operator, found in sorted(answers.items()):
            # One overload that the release calls is enough.
            if "calls" in found:
                continue
            group = cannot_tell if "cannot tell" in found else not_called
            group.setdefault(name, []).append(operator)
    return not_called, cannot_tell


def dtype_settings(release: str) -> tuple[dict[str, dict[str, str]], dict[str, list[str]]]:
    """Return, by kernel, the dtypes that it refuses with the error, and those that only MPS takes.

    Kernels are given as ``aten::relu`` and dtypes as in torch's errors (``Long``). Both are empty for
    a release before 2.8, of which nothing is known.
    """
    known = dtypes.load(release)
    if known is None:
        return {}, {}
    names = {dtype: name for name, dtype in dtypes.NAMES.items()}
    refused = {
        f"aten::{kernel}": {names[dtype]: known.reason(kernel, dtype) for dtype in found}
        for kernel, found in known.refused.items()
    }
    taken = {
        f"aten::{kernel}": [names[dtype] for dtype in found]
        for kernel, found in known.taken.items()
    }
    return refused, taken
