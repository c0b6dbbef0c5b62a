"""The command `metalassay doctor`: find what is wrong with an environment."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metalassay import minder
from metalassay.cli import doctor_requirements, option_types
from metalassay.errors import UserError
from metalassay.fields import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from metalassay.diagnosis.doctor import Diagnosis
    from metalassay.linkcheck import Break
    from metalassay.mps.probe import Probe

_LINK_CHECK = 10.0  # seconds for the sources to be read

EPILOG = """\
examples:
  metalassay doctor                            this environment
  metalassay doctor --env .venv                a folder or an interpreter
  metalassay doctor --env .venv --fix          the smallest change that fixes it
  metalassay doctor --requirements uv.lock     what it would install, before that
  metalassay doctor --json | jq '.findings[] | select(.severity == "error")'

severities: error: breaks what everybody does; warning: worth fixing, and a fix exists; info: worth
knowing (a bug that no release fixes, a variable that does nothing)

exit code: 0 no error and no warning, 1 at least one, 2 bad input or an environment that does not
answer; with --fix and --apply as metalassay fix"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Check the installed versions, the environment variables, and what MPS really does, against"
        " the known bugs. Imports none of the packages: torch runs in a process of its own."
    )
    parser.epilog = EPILOG
    parser.add_argument("--json", action="store_true", help="print the diagnosis as JSON")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show every finding and every fix"
    )
    parser.add_argument(
        "--env",
        "--python",
        dest="env",
        type=option_types.place,
        metavar="DIR|PYTHON",
        help="examine another environment: its folder or its interpreter",
    )
    parser.add_argument(
        "--requirements",
        type=option_types.place,
        metavar="FILE",
        help="judge what a requirements.txt, a pyproject.toml or a lock file would install",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="ID",
        help="leave out a finding that you know and accept; repeatable",
    )
    parser.add_argument("--no-probe", action="store_true", help="do not start torch")
    parser.add_argument(
        "--timeout",
        type=option_types.number(least=0),
        default=60,
        metavar="SECONDS",
        help="give up on torch after this time",
    )
    change = parser.add_mutually_exclusive_group()
    change.add_argument(
        "--fix", action="store_true", help="show the change that fixes it: metalassay fix"
    )
    change.add_argument("--apply", action="store_true", help="make it: metalassay fix --apply")
    parser.add_argument("--yes", action="store_true", help="with --apply: do not ask")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.diagnosis import doctor_text
    from metalassay.environment import interpreters
    from metalassay.machine import hardware

    if options.yes and not options.apply:
        raise UserError("--yes goes with --apply", "metalassay doctor --apply --yes")
    if not options.timeout:
        raise UserError(
            f"--timeout {options.timeout:g} leaves no time", "metalassay doctor --no-probe"
        )
    if (options.fix or options.apply) and not options.requirements:
        from metalassay.cli import fix

        options.undo = False
        return fix.run(options)
    python = None if options.env is None else interpreters.find(options.env)
    width = min(shutil.get_terminal_size().columns, 100)
    if options.requirements:
        if options.apply:
            raise UserError(
                "--requirements judges what is not installed, so there is nothing to apply",
                f"metalassay doctor --requirements {options.requirements} --fix",
            )
        return doctor_requirements.run(options, python, width)
    probing = not options.no_probe
    diagnosis = _diagnose(options, python, probing)
    command = _command(diagnosis)
    machine = hardware.probe(gpu_too=probing)
    if options.json:
        print(json.dumps(_document(diagnosis, machine, python, command), indent=1, default=str))
    else:
        print(
            doctor_text.as_text(
                diagnosis,
                hardware.describe(machine),
                python=python or "",
                width=width,
                everything=options.verbose,
                command=command,
            )
        )
    return 0 if diagnosis.healthy else 1


def _diagnose(options: argparse.Namespace, python: str | None, probing: bool) -> Diagnosis:
    from metalassay.diagnosis import doctor, fix_plan
    from metalassay.environment import interpreters, managers, versions
    from metalassay.machine import hardware

    packages = (*versions.STACK, *fix_plan.COMPANIONS)
    if python is None:
        installed, interpreter = versions.installed(packages), interpreters.this(packages)
    else:
        installed, interpreter = interpreters.ask(python, packages)
    doctor.check_ids(options.ignore)  # before the probe: a typo should not wait for it
    chip = hardware.mac_processor().chip if platform.system() == "Darwin" else None
    folders = tuple(dict.fromkeys(Path(each.folder) for each in interpreter.installs))
    with _link_check(python or sys.executable, folders, installed, whole=probing) as breaks:
        probe = _probe(python or sys.executable, options.timeout) if probing else None
        found = breaks()
    return doctor.diagnose(
        installed,
        options.ignore,
        environ=os.environ,
        system=platform.system(),
        probe=probe,
        breaks=found,
        managed=(managers.detect(interpreter, chip=chip), interpreter),
        project=Path.cwd(),
    )


@contextlib.contextmanager
def _link_check(
    python: str, folders: Sequence[Path], installed: Mapping[str, str], *, whole: bool
) -> Iterator[Callable[[], Sequence[Break]]]:
    """Yield what tells the breaks between the installed packages, which are in these ``folders``.

    ``whole``: their sources are read, in a process of its own beside the body, for at most ten seconds, or
    an earlier result of the same packages is used. Otherwise, what is known of their releases.
    """
    from metalassay import linkcheck

    kept = linkcheck.kept(folders) if whole else None
    if kept is not None or not whole:
        yield lambda: kept.breaks if kept is not None else linkcheck.known_breaks(installed)
        return
    command = [sys.executable, "-P", "-m", "metalassay", "link", "--env", python, "--json"]
    started = time.monotonic()
    child = minder.start(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def breaks() -> Sequence[Break]:
        left = max(0.0, _LINK_CHECK - (time.monotonic() - started))
        try:
            return linkcheck.from_json(parse_json(child.communicate(timeout=left)[0])).breaks
        except (
            subprocess.TimeoutExpired,
            ValueError,
            KeyError,
        ):  # too slow, or it could not be run
            return linkcheck.known_breaks(installed)

    try:
        yield breaks
    finally:
        child.kill()
        child.wait()
        minder.forget(child.pid)


def _command(diagnosis: Diagnosis) -> list[str]:
    """Return the command that fixes what can be fixed; empty where nothing should be installed."""
    from metalassay.environment import executed, managers

    manager = diagnosis.manager
    wanted = list(diagnosis.plan.requirements)
    if diagnosis.versions.keys() & set(executed.EXACT) and "torch" not in diagnosis.versions:
        wanted.append("torch")  # without it nothing trains, whatever else is fixed
    return managers.install_command(manager, wanted) if manager else []


def _probe(python: str, timeout: float) -> Probe:
    from metalassay.mps import probe

    print(
        f"testing MPS with torch (at most {timeout:g} s; --no-probe skips it) ...",
        file=sys.stderr,
        flush=True,
    )
    return probe.probe(python, timeout)


def _document(
    diagnosis: Diagnosis, machine: Any, python: str | None, command: list[str]
) -> dict[str, Any]:
    from metalassay.diagnosis import doctor
    from metalassay.machine import hardware

    return {
        "schema": doctor.SCHEMA,
        "machine": hardware.as_dict(machine),
        "python": python or sys.executable,
        **asdict(diagnosis),
        "fix": command or None,
    }
