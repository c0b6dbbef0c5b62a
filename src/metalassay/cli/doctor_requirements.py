"""`metalassay doctor --requirements FILE`: a set of versions is judged before it is installed."""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from metalassay.errors import UserError
from metalassay.fields import one_line

if TYPE_CHECKING:
    from metalassay.environment.requirement_files import Wanted

_NO_WHEEL = ("no usable wheels", "building from source is disabled", "no wheels")


def run(options: argparse.Namespace, python: str | None, width: int) -> int:
    """Judge the set that a file asks for, print that, and return the exit code."""
    from metalassay import linkcheck
    from metalassay.diagnosis import doctor, doctor_text
    from metalassay.environment import interpreters, requirement_files, versions
    from metalassay.machine import hardware

    doctor.check_ids(options.ignore)
    file = Path(options.requirements)
    wanted = requirement_files.read(file)
    machine = hardware.probe(gpu_too=False)
    asked = python or sys.executable
    python_version = interpreters.versions_of(asked, ()) if python else versions.installed(())
    chosen, left_out = dict(wanted.versions), list(wanted.left_out)
    if not chosen:
        answer = _resolved(wanted, asked, file)
        if isinstance(answer, str):
            return _not_installable(options, file, answer, width)
        chosen, more = answer
        left_out += more
    stack = {name: chosen[name] for name in versions.STACK if name in chosen}
    judged = {**python_version, **stack}
    diagnosis = doctor.diagnose(
        judged,
        options.ignore,
        system=platform.system(),
        breaks=linkcheck.known_breaks({**python_version, **chosen}),
    )
    command = _command(file, diagnosis.plan.requirements)
    if options.json:
        document = {
            "schema": doctor.SCHEMA,
            "machine": hardware.as_dict(machine),
            "python": asked,
            "requirements": str(file),
            "left_out": left_out,
            "resolved": chosen,
            **asdict(diagnosis),
            "fix": command or None,
        }
        print(json.dumps(document, indent=1, default=str))
    elif options.fix:
        print(doctor_text.plan_text(diagnosis, command, width))
    else:
        notes = [f"not judged: {', '.join(left_out)}"] if left_out else []
        print(
            doctor_text.as_text(
                diagnosis,
                hardware.describe(machine),
                file=str(file),
                width=width,
                everything=options.verbose,
                command=command,
                notes=notes,
            )
        )
    return 0 if diagnosis.healthy else 1


def _resolved(wanted: Wanted, python: str, file: Path) -> tuple[dict[str, str], list[str]] | str:
    """Return the chosen versions and what had to be left out, or why the requirements contradict.

    Nothing is built, because that runs the code of strangers: what has no wheel is left out.
    """
    from metalassay.environment.versions import STACK
    from metalassay.matrix import resolver

    print("asking uv which versions would be installed ...", file=sys.stderr, flush=True)
    left_out: list[str] = []
    answer = resolver.lock(wanted.requirements, Path(python), ["--no-build"])
    if isinstance(answer, resolver.Failure) and any(sign in answer.why for sign in _NO_WHEEL):
        ours = [each for each in wanted.requirements if _name(each) in STACK]
        left_out = [_name(each) for each in wanted.requirements if each not in ours]
        if ours and left_out:
            answer = resolver.lock(ours, Path(python), ["--no-build"])
    if not isinstance(answer, resolver.Failure):
        pins = (re.match(r"([\w.-]+)==([^\s;]+)", line) for line in answer)
        return {pin[1]: pin[2] for pin in pins if pin}, left_out
    if answer.conflict:
        return answer.why
    raise UserError(
        f"the versions that {file} asks for could not be resolved: {one_line(answer.why)[:300]}; that"
        " says nothing about them",
        "correct the pins, or check the network and the index; a lock file needs neither",
    )


def _name(requirement: str) -> str:
    name = re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]
    return re.sub("[-_.]+", "-", name).lower()


def _not_installable(options: argparse.Namespace, file: Path, why: str, width: int) -> int:
    """Say that requirements contradict each other."""
    from metalassay.diagnosis import doctor, doctor_text

    if options.json:
        document = {"schema": doctor.SCHEMA, "requirements": str(file), "not_installable": why}
        print(json.dumps(document, indent=1))
    else:
        says = f"No: what {file} asks for cannot be installed together: {one_line(why)}"
        print(doctor_text.answer(says, width))
    return 1


def _command(file: Path, requirements: Sequence[str]) -> list[str]:
    """Return the command that changes the project of a lock file; for another file, what to ask for."""
    from metalassay.environment import managers

    kinds = {lock: kind for kind, lock in managers.LOCKED.items()}
    if file.name in kinds and requirements:
        project = file.absolute().parent
        manager = managers.Manager(kinds[file.name], "python", project / ".venv", project)
        return managers.install_command(manager, requirements)
    return []
