"""What `metalassay run` finds out about a program's Python before it starts: patches, and whether it trains."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metalassay import bugs, linkcheck
from metalassay.bugs import Bug
from metalassay.diagnosis import doctor, findings, train_verdict
from metalassay.environment import interpreters, program_python, versions
from metalassay.errors import UserError


@dataclass(frozen=True)
class Patch:
    """A patch, the bug that it mends, and whether versions need it, with the reason as a phrase."""

    name: str
    bug: Bug
    needed: bool
    state: str


def patches(program: Sequence[str]) -> list[Patch]:
    """Return the patches, judged by what the program's Python has installed; by this Python without one.

    Raises ``UserError`` if the command does not say which Python it runs, or that Python does not run.
    """
    if not program:
        return judged(versions.installed())
    return judged(interpreters.versions_of(_python(program, "metalassay run --list-patches")))


def judged(installed: Mapping[str, str]) -> list[Patch]:
    """Return the patches, judged by installed versions."""
    found = []
    for bug in bugs.load():
        if bug.patch is None:
            continue
        present = [f"{name} {installed[name]}" for name in bug.packages if name in installed]
        needed = bug.hits(installed)
        state = "needed by" if needed else "not needed by"
        what = " and ".join(present)
        if not present:
            state, what = "not needed:", f"{' and '.join(bug.packages)} is not installed"
        found.append(Patch(bug.patch, bug, needed, f"{state} {what}"))
    return found


def check(program: Sequence[str], *, patched: bool) -> None:
    """Raise ``UserError`` if the program's Python cannot train, and no patch would mend that.

    Goes by installed versions, the environment variables and the known breaks between releases; starts no
    torch. ``patched``: the patches will be brought in.
    """
    python = _python(program, "leave out --check")
    installed = interpreters.versions_of(python)
    mended = [bug.id for bug in bugs.load() if bug.patch is not None] if patched else []
    diagnosis = doctor.diagnose(
        installed,
        mended,
        environ=os.environ,
        system=platform.system(),
        breaks=linkcheck.known_breaks(installed),
    )
    more = f"metalassay doctor --env {python}"
    if diagnosis.verdict.trains == train_verdict.NOTHING:
        raise UserError(f"not started: {python} has no torch and no library that trains", more)
    if diagnosis.verdict.trains == train_verdict.NO:
        why = diagnosis.verdict.says.removeprefix("No: ")
        raise UserError(f"not started, because it cannot train: {why}", more)
    for finding in diagnosis.findings:
        if finding.kind == findings.VARIABLE and finding.counts and finding.severity == "error":
            raise UserError(f"not started: {finding.title}", finding.fix)


def _python(program: Sequence[str], next_step: str) -> str:
    python = program_python.of(program)
    if python is None:
        name = program[0] if program else sys.executable
        raise UserError(f"{name} does not say which Python it runs", next_step)
    return python
