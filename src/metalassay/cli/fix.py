"""The command `metalassay fix`: change an environment to versions that work, or leave it as it was."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metalassay import pep440
from metalassay.cli import option_types
from metalassay.cli.parser import columns
from metalassay.errors import UserError

if TYPE_CHECKING:
    from metalassay.environment.managers import Manager
    from metalassay.fix.apply import Result
    from metalassay.fix.resolve import Resolved

SCHEMA = {"name": "metalassay.fix", "version": 1}

EPILOG = """\
examples:
  metalassay fix                          show the smallest change, change nothing
  metalassay fix --apply                  ask, install, try, and keep it only if it works
  metalassay fix --env .venv --apply --yes
  metalassay fix --undo                   bring back what the last change replaced

What --apply does: it tries the packages as they are, keeps the present state in the environment (hard
links in .metalassay), installs with the manager that the environment belongs to (uv, uv project, poetry,
pip, ...), and tries again: imports, a few steps of Accelerator, Trainer, LoRA, SFT, DPO and GRPO, a
resume, and the tests of the bugs concerned. Whatever worked before and fails then brings
the old state back, without a network. Never with sudo, never in a Python of the operating system.

exit code: 0 nothing to fix, fixed, or undone; 1 there is something to fix, or the change was rolled back;
2 bad input, or nothing can be installed here; 130 interrupted: metalassay fix --undo"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Find the smallest change of versions that leaves no known bug and no break between packages,"
        " check it with the installer, and, with --apply, install it and keep it only if it works."
    )
    parser.epilog = EPILOG
    add_options(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--apply", action="store_true", help="install the change, after asking")
    what.add_argument(
        "--undo", action="store_true", help="bring back the state before the last change"
    )
    parser.add_argument("--yes", action="store_true", help="with --apply or --undo: do not ask")
    parser.add_argument("--json", action="store_true", help="print the plan and its result as JSON")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which environment is meant and what is left out."""
    parser.add_argument(
        "--env",
        "--python",
        dest="env",
        type=option_types.place,
        metavar="DIR|PYTHON",
        help="fix another environment: its folder or its interpreter",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="ID",
        help="leave out a bug that you know and accept; repeatable",
    )
    parser.add_argument(
        "--timeout",
        type=option_types.number(least=1),
        default=300,
        metavar="SECONDS",
        help="give up on a step of training after this time",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.diagnosis import doctor

    if options.yes and not (options.apply or options.undo):
        raise UserError("--yes goes with --apply or --undo", "metalassay fix --apply --yes")
    if options.json and (options.apply or options.undo) and not options.yes:
        raise UserError(
            "with --json nothing is asked, so nothing was changed",
            f"metalassay fix --json {'--undo' if options.undo else '--apply'} --yes",
        )
    doctor.check_ids(options.ignore)
    try:
        versions, manager = _environment(options.env)
    except UserError:
        # A change may have left an interpreter that does not start, and can be undone without it.
        if not options.undo or not (options.env or "").strip():
            raise
        return _undo(options, _half_changed(options.env))
    if options.undo:
        return _undo(options, manager)
    return fix(options, versions, manager)


def _half_changed(place: str) -> Manager:
    """Return an environment that has the record of a change, by its folder alone."""
    from metalassay.environment import managers
    from metalassay.fix import record

    path = Path(place)
    prefix = path if path.is_dir() else path.parent.parent
    if not record.path_of(prefix).is_file():
        raise UserError(f"{place}: no environment, and no change to undo", "metalassay fix --help")
    return managers.Manager(managers.VENV, str(prefix / "bin" / "python"), prefix)


def fix(options: argparse.Namespace, versions: Mapping[str, str], manager: Manager) -> int:
    """Show the smallest change for an environment, and apply it if that is asked for."""
    from metalassay.environment import managers
    from metalassay.fix import apply, distributions, resolve

    # What must not be changed at all is said before anybody is asked how.
    refused = apply.refusal(manager, ()) if options.apply or manager.externally_managed else None
    if refused is not None:
        raise refused
    _progress(options, "asking the installer which change is possible ...")
    installed = distributions.read(manager.python)
    found = resolve.resolve(manager, installed, versions, options.ignore)
    command = managers.install_command(manager, found.plan.requirements)
    if not options.json:
        _show(options, found, versions, manager, command)
    nothing = not found.plan.requirements
    result = None
    if options.apply and not nothing:
        result = _apply(options, found, manager)
    if options.json:
        print(json.dumps(_document(found, versions, manager, command, result), indent=1))
    if nothing:
        return 1 if _left(found) else 0
    return 0 if result is not None and result.state == "fixed" else 1


def _environment(place: str | None) -> tuple[dict[str, str], Manager]:
    """Return the versions of an environment and how it is managed."""
    from metalassay.diagnosis import fix_plan
    from metalassay.environment import interpreters, managers, versions

    packages = (*versions.STACK, *fix_plan.COMPANIONS)
    python = sys.executable if place is None else interpreters.find(place)
    there, interpreter = interpreters.ask(python, packages)
    manager = managers.detect(interpreter)
    if manager.python != python and manager.python != interpreter.python:
        there, _ = interpreters.ask(manager.python, packages)
    return {name: text for name, text in there.items() if pep440.is_version(text)}, manager


def _show(
    options: argparse.Namespace,
    found: Resolved,
    versions: Mapping[str, str],
    manager: Manager,
    command: Sequence[str],
) -> None:
    from metalassay.fix import plan_text

    lines = plan_text.lines(found, versions, manager, command, columns(), applying=options.apply)
    print("\n".join(lines), flush=True)


def _apply(options: argparse.Namespace, found: Resolved, manager: Manager) -> Result | None:
    from metalassay.fix import apply, plan_text

    refused = apply.refusal(manager, found.plan.requirements)
    if refused is not None:
        raise refused
    if not options.yes and not _agreed("Change it?"):
        print("nothing was changed")
        return None
    say = _say(options)
    try:
        result = apply.apply(
            manager, found.plan.requirements, found.plan.fixes, timeout=options.timeout, say=say
        )
    except KeyboardInterrupt:
        raise _interrupted(manager) from None
    if not options.json:
        for line in plan_text.result_lines(result, manager, columns()):
            print(line)
    return result


def _undo(options: argparse.Namespace, manager: Manager) -> int:
    from metalassay.fix import apply, distributions, plan_text, record

    kept = record.load(manager.prefix)
    there_is_one = kept is not None and kept.state not in (record.RECORDED, record.UNDONE)
    if kept is not None and there_is_one and not options.yes:
        for line in plan_text.undo_lines(
            kept, distributions.read_or_none(manager.python), columns()
        ):
            print(line)
        if not _agreed("Bring back the state before it?"):
            print("nothing was changed")
            return 1
    try:
        apply.undo(manager, _say(options))
    except KeyboardInterrupt:
        raise _interrupted(manager) from None
    if options.json:
        print(json.dumps({"schema": SCHEMA, "state": "undone", "environment": str(manager.prefix)}))
    else:
        print(f"{manager.prefix} is as it was before the change (every file compared).")
    return 0


class StoppedError(UserError):
    """The user interrupted a change; the record for undoing it is there."""

    exit_code = 130


def _interrupted(manager: Manager) -> UserError:
    from metalassay.fix import record

    kept = record.load(manager.prefix)
    if kept is None or not kept.unfinished:
        return StoppedError("interrupted; nothing was changed", "metalassay fix")
    return StoppedError(
        f"interrupted: {manager.prefix} may be half changed",
        f"metalassay fix --undo --env {shlex.quote(str(manager.prefix))}",
    )


def _agreed(question: str) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise UserError(
            "there is no terminal to ask at, so nothing was changed", "add --yes if you mean it"
        )
    print(f"\n{question} [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _say(options: argparse.Namespace) -> Any:
    """Return where progress goes: stderr, so that stdout has the result only."""
    return lambda text: _progress(options, text)


def _progress(options: argparse.Namespace, text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _left(found: Resolved) -> bool:
    """Return whether something stops the training here although nothing can be changed for it."""
    return bool(found.refused)


def _document(
    found: Resolved,
    versions: Mapping[str, str],
    manager: Manager,
    command: Sequence[str],
    result: Result | None,
) -> dict[str, Any]:
    plan = found.plan
    return {
        "schema": SCHEMA,
        "environment": str(manager.prefix),
        "manager": manager.kind,
        "versions": dict(versions),
        "changes": [
            {
                "package": change.package,
                "before": change.before,
                "after": change.version,
                "requirement": change.requirement,
                "fixes": list(change.fixes),
            }
            for change in plan.changes
        ],
        "requirements": list(plan.requirements),
        "command": list(command),
        "fixes": list(plan.fixes),
        "brings": list(plan.brings),
        "remains": list(plan.remains),
        "ends": list(plan.ends),
        "keeps": list(plan.keeps),
        "adds": list(found.adds),
        "checked": found.checked,
        "refused": [{"requirements": list(each), "why": why} for each, why in found.refused],
        "result": None
        if result is None
        else {
            "state": result.state,
            "why": list(result.why),
            "tested": list(result.verdict.tested) if result.verdict else [],
            "before": {stage.name: stage.status for stage in result.before},
        },
    }
