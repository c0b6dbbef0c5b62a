"""Answer what torch says about operators and dtypes on MPS, from the record of its macOS wheels."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping

from packaging.version import Version

from metalassay import pep440
from metalassay.bugs import tracebacks
from metalassay.diagnosis import operator_messages
from metalassay.diagnosis.answers import Found
from metalassay.diagnosis.operator_messages import Mention
from metalassay.diagnosis.operator_parts import (
    ASK,
    ELSEWHERE,
    FALLBACK,
    SETTINGS,
    TOO_LATE,
    TRACKER,
    WHICH_TORCH,
    Answer,
    Torch,
    has,
    joined,
    needed_macos,
    sentences,
    torch_of,
    upgrade_to,
)
from metalassay.diagnosis.operator_refusals import (
    built_without_mps,
    compressed,
    dtype_refused,
    no_such_backend,
    old_macos,
    sparse,
    without_mps,
)
from metalassay.errors import UserError
from metalassay.mps.operators import advice, history, oracle
from metalassay.mps.operators.advice import Advice, Library
from metalassay.mps.operators.oracle import State


def find(text: str, installed: Mapping[str, str]) -> tuple[Found, ...]:
    """Find what torch says about operators and dtypes, errors before warnings, the last one first.

    ``text`` comes from ``tracebacks.clean``. ``installed`` maps package names to versions, and may
    have ``macos``; nothing is assumed about what it lacks. Never fails, whatever the text.
    """
    found = []
    for mention in operator_messages.mentions(text):
        answer = _answer(mention, installed)
        if answer is not None:
            words = tracebacks.shorten(tracebacks.line_at(text, mention.start, mention.end))
            found.append((mention.kind in _WARNINGS, answer.found(words, mention.start)))
    return tuple(each for _, each in sorted(found, key=lambda pair: pair[0]))


_WARNINGS = (operator_messages.FALLBACK, operator_messages.OLD_MACOS)


def _answer(mention: Mention, installed: Mapping[str, str]) -> Answer | None:
    if mention.kind == operator_messages.DTYPE:
        return dtype_refused(mention, installed)
    if mention.kind == operator_messages.OLD_MACOS:
        return old_macos(mention, installed)
    if mention.kind == operator_messages.BACKEND:
        return _backend(mention, installed)
    if mention.namespace != "aten":
        return _library(mention, installed)
    return _operator(mention, installed)


# --- operators of torch


def _operator(mention: Mention, installed: Mapping[str, str]) -> Answer:
    name, torch = _overload(mention.name), torch_of(mention, installed)
    states = _states(name)
    row = advice.for_operator(name)
    first = row.works_torch if row and row.works_torch else _first(states)
    macos = needed_macos(first, row)
    warning = mention.kind == operator_messages.FALLBACK
    applies, note = _applies(name, torch, first, installed)
    do, not_help = _remedies(name, torch, first, macos, row, installed, warning)
    here = pep440.version_of(installed.get("torch"))
    if here and has(here, first):
        do = (
            f"see whether the program runs the torch {here} of this environment: {WHICH_TORCH}",
            *do,
        )
    sure = (
        f"kernels read in torch's macOS wheels, {oracle.versions()[0]} to {oracle.versions()[-1]}"
    )
    return Answer(
        id=f"aten::{name}",
        title=_title(name, states, first, row, warning),
        applies=applies,
        note=note,
        cause=_cause(name, states, row, warning),
        do=do,
        not_help=not_help,
        link=row.link if row else TRACKER,
        sure=f"{sure}; {row.sure}" if row and row.sure != "read in the wheels" else sure,
    )


def _title(
    name: str, states: Mapping[str, State], first: str | None, row: Advice | None, warning: bool
) -> str:
    newest = history.minor(oracle.versions()[-1])
    if not states:
        title = f"aten::{name} is not an operator of any torch from {_oldest()} to {newest}"
    elif row and row.title:
        title = row.title
    elif row and row.works_torch:
        title = row.works()
    elif first is None:
        title = f"aten::{name} has no MPS kernel in any torch up to {newest}"
    elif first == oracle.versions()[0]:
        title = f"aten::{name} has an MPS kernel from torch {_oldest()} on, or earlier"
    elif states[first] == "composite":
        title = (
            f"aten::{name} is made of other operators on MPS from torch {history.minor(first)} on"
        )
    else:
        title = f"aten::{name} has an MPS kernel from torch {history.minor(first)} on"
    return f"a warning, not an error: it ran on the CPU; {title}" if warning else title


def _cause(name: str, states: Mapping[str, State], row: Advice | None, warning: bool) -> str:
    record = history.History(name, None, states, {})
    known = history.sentence(record).partition("(")[2].rpartition(")")[0] if states else ""
    parts = [
        f"aten::{name}: {known}." if known else "",
        f"It is called by {row.call}." if row and row.call else "",
        row.cause if row else "",
        "The result is right, and each call waits for two copies between GPU and CPU."
        if warning
        else "",
    ]
    return sentences(*parts) or "torch's error names no other cause."


def _applies(
    name: str, torch: Torch, first: str | None, installed: Mapping[str, str]
) -> tuple[str, str]:
    """Return whether the torch of the message lacks the operator, and why."""
    version = pep440.version_of(torch.version)
    if version is None:
        until = f"; torch {history.minor(first)} and later have it" if first else ""
        return "unknown", joined(torch.note, f"the version of torch is not known{until}; {ASK}")
    state = _state(name, version)
    newest = Version(oracle.versions()[-1])
    if has(version, first) or state in ("kernel", "composite"):
        return "no", joined(torch.note, f"torch {version} has it; {ELSEWHERE}")
    if state == "absent" and version.release[:2] <= newest.release[:2] and version.major >= 2:
        return "no", joined(torch.note, f"torch {version} does not have this operator; {ELSEWHERE}")
    if version.release[:2] > newest.release[:2]:
        return "unknown", joined(
            torch.note, f"the operators of torch {version} are not known; {newest} lacks it"
        )
    if version.major < 2:
        said = f"torch {version} is older than the record, which begins with {_oldest()}"
    elif state == "fallback":
        said = f"torch {version} always runs it on the CPU, with a warning"
    else:
        said = f"torch {version} lacks it"
    here = pep440.version_of(installed.get("torch"))
    if here and here.base_version != version.base_version and has(here, first):
        said += f", torch {here} has it"
    return ("otherwise" if torch.contradicted else "yes"), joined(torch.note, said)


def _remedies(
    name: str,
    torch: Torch,
    first: str | None,
    macos: str | None,
    row: Advice | None,
    installed: Mapping[str, str],
    warning: bool,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what to do, the best first, and what does not help."""
    do, not_help = [], list(row.not_help if row else ())
    upgrade = upgrade_to(first, macos, installed) if first else None
    here = pep440.version_of(installed.get("torch"))
    if upgrade and here and has(here, first):
        upgrade = f"where the text comes from: {upgrade}"
    have = pep440.version_of(installed.get("macos"))
    too_old = bool(macos and have and have < Version(macos))
    if row and row.title:
        upgrade = None  # a mistake of the program, which no release cures
    if upgrade and not too_old:
        do.append(upgrade)
    if row:
        do += row.steps(name)
    if upgrade and too_old:
        do.append(upgrade)
    if warning:
        do.append(
            "to find the lines that fall back: metalassay preflight, then avoid those that cost time"
        )
        return tuple(do), tuple(not_help)
    if row and not row.fallback:
        return tuple(do), tuple(not_help)
    if _falls_back(name, torch.version):
        if row is None:
            do.append("only this call on the CPU: move its inputs with .cpu() and the result back")
        do.append(FALLBACK)
        not_help.append(TOO_LATE)
    else:
        if not do:
            do.append(
                f"call torch's public function, not torch.ops.aten.{name}: it chooses what MPS has"
            )
        not_help.append(
            "PYTORCH_ENABLE_MPS_FALLBACK=1: the CPU has no kernel for this operator either"
        )
    return tuple(do), tuple(not_help)


def _falls_back(name: str, version: str | None) -> bool:
    """Return whether the CPU has a kernel that the fallback variable can use, in this torch or any."""
    known = [oracle.load(each) for each in oracle.versions()]
    if version is not None:
        with contextlib.suppress(UserError):
            known = [oracle.load(version)]
    lacking = [operators for operators in known if operators.state(name) == "missing"]
    return any(operators.asks(name) in operators.cpu_only for operators in lacking) or not lacking


def _overload(name: str) -> str:
    """Return the overload of that name; for an operator without one, the overload that lacks a kernel."""
    overloads = _overloads().get(history.base(name), ())
    if name in overloads:
        return name
    return next((each for each in overloads if "missing" in _states(each).values()), name)


@functools.cache
def _overloads() -> Mapping[str, tuple[str, ...]]:
    """Return the overloads of every operator in any known torch, sorted."""
    every = frozenset().union(*(oracle.load(version).overloads for version in oracle.versions()))
    by_operator: dict[str, list[str]] = {}
    for overload in sorted(every):
        by_operator.setdefault(history.base(overload), []).append(overload)
    return {operator: tuple(overloads) for operator, overloads in by_operator.items()}


@functools.lru_cache(maxsize=256)
def _states(name: str) -> Mapping[str, State]:
    """Return the state of an overload in every known torch, oldest first; empty if none has it."""
    states = {version: oracle.load(version).state(name) for version in oracle.versions()}
    return {} if set(states.values()) <= {"absent"} else states


def _first(states: Mapping[str, State]) -> str | None:
    """Return the first torch from which on MPS neither lacks the operator nor falls back."""
    versions = list(states)
    bad = [version for version in versions if states[version] in ("missing", "fallback")]
    later = versions[versions.index(bad[-1]) + 1 :] if bad else versions
    return next((each for each in later if states[each] in ("kernel", "composite")), None)


def _state(name: str, version: Version) -> State:
    try:
        return oracle.load(str(version)).state(name)
    except UserError:
        return "absent"


def _oldest() -> str:
    return history.minor(oracle.versions()[0])


# --- operators of other libraries


def _library(mention: Mention, installed: Mapping[str, str]) -> Answer:
    row = advice.for_library(mention.namespace, mention.name)
    full = f"{mention.namespace}::{mention.name}"
    torch = torch_of(mention, installed)
    if row is None:
        return Answer(
            id=full,
            title=f"{full} is an operator of another library ({mention.namespace}), not of torch",
            applies="unknown",
            note=joined(torch.note, "this library's kernels are not known to us"),
            cause="MPS's error for a missing kernel names every library's operators alike.",
            do=(
                "call it on the CPU: move its inputs with .cpu() and the result back",
                f"if the library has a CPU kernel: {FALLBACK}",
            ),
            not_help=("a newer torch: the kernel would have to come with the library",),
            link=SETTINGS,
            sure="read in the source of torch (MPSFallback.mm)",
            generic=True,
        )
    applies, note = _library_applies(row, installed)
    return _library_answer(row, full, applies, joined(torch.note, note))


def _library_applies(row: Library, installed: Mapping[str, str]) -> tuple[str, str]:
    have = pep440.version_of(installed.get(row.package)) if row.package else None
    if row.kernel is None:
        return "yes", f"no version of {row.package or row.owner} that we know has a kernel for MPS"
    if have is None:
        return "unknown", (
            f"the version of {row.package} is not known; from {row.kernel} on it has a kernel;"
            f" specify the environment: --python EXE or --versions {row.package}=VERSION"
        )
    if have < Version(row.kernel):
        return "yes", f"{row.package} {have} has no kernel for MPS; {row.kernel} has"
    return "unknown", (
        f"the macOS arm64 wheel of {row.package} {have} has the kernel; yours may be another build, or"
        f" {ELSEWHERE}"
    )


def _library_answer(row: Library, full: str, applies: str, note: str) -> Answer:
    do, not_help = list(row.do), list(row.not_help)
    if row.fallback == "works":
        do.append(FALLBACK)
        not_help.append(TOO_LATE)
    elif row.fallback == "fails":
        not_help.append(
            "PYTORCH_ENABLE_MPS_FALLBACK=1: the CPU has no kernel for this operator either"
        )
    if row.package is None:
        not_help.append(f"a newer torch: this is about {row.owner}")
    return Answer(
        id=full,
        title=row.title,
        applies=applies,
        note=note,
        cause=row.cause
        or "MPS's error for a missing kernel names every library's operators alike.",
        do=tuple(do),
        not_help=tuple(not_help),
        link=row.link,
        sure=row.sure,
    )


# --- could not run … with arguments from the … backend


def _backend(mention: Mention, installed: Mapping[str, str]) -> Answer | None:
    backend = mention.detail
    if mention.namespace != "aten":
        row = advice.for_library(mention.namespace, mention.name)
        on_mac = backend == "MPS" or (backend == "CPU" and row and row.fallback == "fails")
        if row is None or not on_mac or (backend == "CPU" and row.namespace == "quantized"):
            return None
        full = f"{mention.namespace}::{mention.name}"
        return _library_answer(row, full, *_library_applies(row, installed))
    if backend == "MPS":
        if built_without_mps(mention):
            return without_mps()
        return _operator(mention, installed)
    if backend == "SparseMPS":
        return sparse(mention, installed)
    if backend.startswith("Sparse") and backend.endswith("MPS"):
        return compressed(mention, installed)
    if backend in ("QuantizedMPS", "NestedTensorMPS"):
        return no_such_backend(mention)
    return None
