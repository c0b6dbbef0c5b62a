"""What `metalassay run` finds out about a program's Python before it starts: patches, and whether it trains."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Sequence

from metalassay import bugs, linkcheck
from metalassay.bugs import patches_needed
from metalassay.bugs.patches_needed import Need
from metalassay.diagnosis import doctor, findings, train_verdict
from metalassay.environment import interpreters, program_python, versions
from metalassay.errors import UserError


def patches(program: Sequence[str]) -> list[Need]:
    """Return what is known of each patch, by what the program's Python has installed; without a program, ours.

    Raises ``UserError`` if the command does not say which Python it runs, or that Python does not run.
    """
    if not program:
        return patches_needed.needed(versions.installed())
    python = _python(program, "metalassay run --list-patches -- python train.py")
    return patches_needed.needed(interpreters.versions_of(python))


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
        name = shlex.quote(program[0]) if program else sys.executable
        raise UserError(f"{name} does not say which Python it runs", next_step)
    return python
