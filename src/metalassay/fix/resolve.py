"""Asks the installer what a plan would really install, and refuses what another package would not bear.

Nothing is changed here. In a uv project, a copy of pyproject.toml and uv.lock is resolved; elsewhere uv or
pip say what they would do.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from metalassay import safe_path
from metalassay.diagnosis import fix_plan
from metalassay.diagnosis.fix_plan import Facts, Plan
from metalassay.environment import managers
from metalassay.environment.managers import Manager
from metalassay.errors import UserError, reason
from metalassay.fields import parse_json
from metalassay.fix.distributions import Installed
from metalassay.matrix import resolver
from metalassay.matrix.resolver import Failure

_MOST_TRIES = 12
_CHANGE = re.compile(r"^\s*([-+~])\s+([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Resolved:
    """A plan that the installer accepts: the whole set afterwards, and what was tried before it.

    ``checked`` is False where no installer could be asked. ``refused`` are cheaper plans with the reason
    why each cannot be installed. ``adds`` are packages that were not there and come with it.
    """

    plan: Plan
    versions: Mapping[str, str]
    checked: bool
    refused: tuple[tuple[tuple[str, ...], str], ...] = ()
    adds: tuple[str, ...] = ()


def resolve(
    manager: Manager,
    installed: Installed,
    versions: Mapping[str, str],
    ignored: Sequence[str] = (),
    facts: Facts | None = None,
) -> Resolved:
    """Return the cheapest plan that can be installed and brings no break; an empty one if there is none.

    ``versions`` are those that bugs are judged by: of the packages, of Python and of the machine. Raises
    ``UserError`` where the package index does not answer, as that says nothing about a plan.
    """
    refused: list[tuple[tuple[str, ...], str]] = []
    for plan in fix_plan.plans(versions, ignored, facts=facts):
        if len(refused) == _MOST_TRIES:
            break
        answer = ask(manager, installed, plan.requirements)
        if answer is None:
            why = _contradiction(installed, {**installed.versions, **plan.versions})
            if not why:
                return Resolved(plan, {**versions, **plan.versions}, False, tuple(refused))
        elif isinstance(answer, Failure):
            if not answer.conflict:
                first, *causes = answer.why.split(" cause: ")
                said = f"{first}: {causes[-1]}" if causes else first
                raise UserError(
                    f"the installer could not be asked: {said[:300]}; nothing was changed",
                    "check the network and the package index, then try again",
                )
            why = answer.why
        else:
            after = {**versions, **{name: answer[name] for name in versions if name in answer}}
            why = _contradiction(installed, answer)
            why = why or _brings(versions, after, plan, ignored, facts)
            if not why:
                real = fix_plan.between(versions, after, plan, ignored, facts=facts)
                adds = tuple(sorted({*answer} - {*installed.versions}))
                return Resolved(real, after, True, tuple(refused), adds)
        refused.append((plan.requirements, why))
    return Resolved(fix_plan.NOTHING, dict(versions), True, tuple(refused))


def ask(
    manager: Manager, installed: Installed, requirements: Sequence[str]
) -> dict[str, str] | Failure | None:
    """Return the versions of all packages after an install, why it fails, or None if nobody can tell."""
    if manager.kind == managers.UV_PROJECT and manager.lock is not None:
        answer = _lock_copy(manager, installed, requirements)
        if answer is not None:
            return answer
    # The one that will install is asked: indexes and constraints are set up for one of them, often.
    command = managers.install_command(manager, requirements)
    if "pip" in command and command[0] != "uv":
        found = _ask_pip(command, installed)
        if found is not None or not manager.has_uv:
            return found
    if manager.has_uv:
        return _ask_uv(manager, installed, requirements)
    if manager.has_pip:
        return _ask_pip([manager.python, "-m", "pip", "install", *requirements], installed)
    return None


def _ask_uv(
    manager: Manager, installed: Installed, requirements: Sequence[str]
) -> dict[str, str] | Failure:
    words = [
        "--color",
        "never",
        "pip",
        "install",
        "--dry-run",
        "--python",
        manager.python,
        *requirements,
    ]
    done = resolver.run(words)
    if isinstance(done, Failure):
        return done
    return _changed(installed, done.stderr)


def _changed(installed: Installed, output: str) -> dict[str, str]:
    """Return the versions after the changes that uv prints, as in `` - a==1`` and `` + a==2``."""
    found = installed.versions
    changes = _CHANGE.findall(output)
    for sign, name, _ in changes:
        if sign == "-":
            found.pop(canonicalize_name(name), None)
    for sign, name, version in changes:
        if sign != "-":
            found[canonicalize_name(name)] = version
    return found


def _lock_copy(
    manager: Manager, installed: Installed, requirements: Sequence[str]
) -> dict[str, str] | Failure | None:
    """Resolve a copy of a uv project; None where it cannot be resolved away from its folder."""
    if manager.project is None or manager.lock is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            for file in (manager.project / "pyproject.toml", manager.lock):
                shutil.copy(file, folder)
            for beside in ("README.md", ".python-version", "uv.toml"):
                if (manager.project / beside).is_file():
                    shutil.copy(manager.project / beside, folder)
        except OSError:
            return None
        words = ["add", "--no-sync", "--project", name, "--python", manager.python, *requirements]
        done = resolver.run(words)
        if isinstance(done, Failure):
            return done if done.conflict else None
        words = ["export", "--frozen", "--all-extras", "--all-groups", "--no-hashes", "--project"]
        done = resolver.run([*words, name, "--no-emit-project", "--quiet"])
        if isinstance(done, Failure):
            return None
        locked = _pins(done.stdout, installed.python)
        there = installed.versions
        asked: set[str] = {canonicalize_name(Requirement(each).name) for each in requirements}
        kept = {name: locked.get(name, version) for name, version in there.items()}
        return {**kept, **{name: locked[name] for name in asked if name in locked}}


def _pins(exported: str, python: str) -> dict[str, str]:
    """Return the versions of an exported lock that count for a Python: a lock has those of others too."""
    where = {"python_version": ".".join(python.split(".")[:2]), "python_full_version": python}
    found: dict[str, str] = {}
    for line in exported.splitlines():
        try:
            requirement = Requirement(line.strip())
        except InvalidRequirement:
            continue  # a comment, an option, the project itself
        pin = next((each.version for each in requirement.specifier if each.operator == "=="), "")
        if pin and (requirement.marker is None or requirement.marker.evaluate(where)):
            found[canonicalize_name(requirement.name)] = pin
    return found


def _ask_pip(command: Sequence[str], installed: Installed) -> dict[str, str] | Failure | None:
    """Ask pip what its install command would do; None where pip is too old to say."""
    after = command.index("install") + 1
    words = [*command[:after], "--dry-run", "--quiet", "--report", "-", *command[after:]]
    try:
        done = subprocess.run(  # noqa: S603  (pip itself, no shell)
            words,
            env={
                **{name: text for name, text in os.environ.items() if name != "PYTHONPATH"},
                **safe_path.VARIABLES,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=600,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Failure("pip did not answer within ten minutes")
    except OSError as error:
        return Failure(f"pip cannot be started: {reason(error)}")
    if done.returncode:
        if "no such option" in done.stderr:  # before pip 22.2
            return None
        why = resolver.conflict(done.stderr)
        if why is None:
            return Failure(resolver.failure_reason(done.stderr))
        return Failure(why, conflict=True)
    found = installed.versions
    try:
        for each in parse_json(done.stdout)["install"]:
            found[canonicalize_name(each["metadata"]["name"])] = each["metadata"]["version"]
    except (ValueError, KeyError, TypeError):
        return None
    return found


def _contradiction(installed: Installed, after: Mapping[str, str]) -> str:
    """Return a requirement of an installed package that would no longer be met; "" if there is none."""
    new = installed.conflicts(after) - installed.conflicts()
    return min(new, default="")


def _brings(
    before: Mapping[str, str],
    after: Mapping[str, str],
    plan: Plan,
    ignored: Sequence[str],
    facts: Facts | None,
) -> str:
    """Return the break that the resolver's own choice would bring; "" if there is none."""
    real = fix_plan.between(before, after, plan, ignored, facts=facts)
    new = fix_plan.stopping(real.brings)
    if new:
        return f"the installer's choice brings {new[0]}"
    fresh = sorted(set(real.keeps) - set(plan.keeps))
    return f"the installer's choice breaks: {fresh[0]}" if fresh else ""
