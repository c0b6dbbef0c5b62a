"""Applies a plan: keep the state, try, install, try again, and bring the state back if that fails."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from metalassay.environment import managers
from metalassay.environment.managers import Manager
from metalassay.errors import UserError, cannot_write, reason
from metalassay.fields import one_line
from metalassay.fix import distributions, record, verify
from metalassay.fix.record import Record
from metalassay.fix.verify import Verdict
from metalassay.matrix import resolver
from metalassay.smoke import parent as smoke
from metalassay.smoke.parent import Stage

FIXED, ROLLED_BACK, LEFT = "fixed", "rolled back", "left as it was"


@dataclass(frozen=True)
class Result:
    """How it ended: ``state`` is one of the constants above, ``why`` the reasons, and what was verified.

    ``before`` are the stages of the smoke test before the change.
    """

    state: str
    why: tuple[str, ...] = ()
    verdict: Verdict | None = None
    before: tuple[Stage, ...] = ()


class RollbackError(UserError):
    """The state before could not be brought back completely."""


def refusal(manager: Manager, requirements: Sequence[str]) -> UserError | None:
    """Return why nothing may be installed into an environment, or None."""
    if os.environ.get("SUDO_USER"):
        return UserError(
            "nothing is installed as root with sudo: its files would belong to another user",
            "run it again without sudo",
        )
    if manager.externally_managed:
        return UserError(
            f"{manager.python} belongs to the operating system, which forbids installing into it",
            managers.advice(manager),
        )
    if not os.access(manager.prefix, os.W_OK):
        return UserError(
            f"{manager.prefix} cannot be written by you, so nothing was installed",
            "make an environment of your own: python3 -m venv .venv",
        )
    if not managers.install_command(manager, requirements):
        return UserError(
            f"there is no installer for {manager.python}",
            managers.advice(manager) or managers.GET_UV,
        )
    names = {requirement.split("~")[0].split("<")[0] for requirement in requirements}
    if conda := names.intersection(manager.from_conda):
        return UserError(
            f"conda installed {min(conda)}, and only conda can bring it back",
            "run the command above yourself, then metalassay doctor",
        )
    return None


@contextlib.contextmanager
def alone(prefix: Path) -> Iterator[int]:
    """Hold the lock of an environment, and yield its descriptor: an installer that inherits it holds it too.

    Raises ``UserError`` while another process changes the environment.
    """
    folder = record.path_of(prefix).parent
    try:
        folder.mkdir(exist_ok=True)
        stream = (folder / "lock").open("a")
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {reason(error)}; nothing was changed",
            "make room or rights there",
        ) from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another `metalassay fix` is changing {prefix}", "wait until it has ended"
            ) from None
        yield stream.fileno()


def apply(
    manager: Manager,
    requirements: Sequence[str],
    fixes: Sequence[str],
    *,
    timeout: float = 300,
    say: Callable[[str], object] = print,
) -> Result:
    """Install ``requirements`` and keep them only if nothing that worked before fails afterwards.

    ``fixes`` are the ids of the bugs that should be gone. Raises ``UserError`` where nothing may be
    installed, and ``RollbackError`` where the old state did not come back. An interruption passes
    through; the record that ``undo`` needs stays.
    """
    refused = refusal(manager, requirements)
    if refused is not None:
        raise refused
    command = managers.install_command(manager, requirements)
    with alone(manager.prefix) as held:
        unfinished = record.load(manager.prefix)
        if unfinished is not None and unfinished.unfinished:
            raise UserError(
                f"an earlier change of {manager.prefix} did not end", "metalassay fix --undo"
            )
        old = distributions.read(manager.python)
        say("trying the packages as they are")
        stages = smoke.stages_for(old.versions)
        before = smoke.run(manager.python, stages, timeout=timeout, begins=_indented(say))
        say(f"keeping the present state in {record.path_of(old.prefix).parent}")
        kept = record.make(old, command, project_files(manager))
        say(f"installing {' '.join(requirements)}")
        try:
            kept = record.write(kept, record.INSTALLING)
        except OSError as error:
            raise cannot_write(
                record.path_of(old.prefix), error, "make room there; nothing was changed"
            ) from None
        failure = install(command, manager, held)
        if failure:
            return back(kept, (f"the installation failed: {failure}",), say)
        say("trying the packages again")
        try:
            kept = record.write(kept, record.VERIFYING)
            verdict = verify.run(
                manager.python, before, requirements, old, distributions.read(manager.python),
                fixes, timeout=timeout, begins=_indented(say),
            )  # fmt: skip
            if verdict.good:
                record.write(kept, record.DONE)
        except (UserError, OSError) as error:
            return back(kept, (f"it cannot be verified: {reason(error)}",), say)
        if not verdict.good:
            return back(kept, verdict.failures, say)
        return Result(FIXED, verdict.still_broken, verdict, before)


def undo(prefix: Path, say: Callable[[str], object] = print) -> Record:
    """Bring back the state of an environment before the last change, and return its record.

    Raises ``UserError`` where there is nothing to undo, and ``RollbackError`` where it does not succeed.
    """
    kept = record.load(prefix)
    if kept is None or kept.state == record.UNDONE:
        raise UserError(
            f"nothing that `metalassay fix` changed in {prefix} is left to undo",
            "metalassay doctor",
        )
    with alone(prefix):
        back(kept, (), say)
    return kept


def back(kept: Record, why: tuple[str, ...], say: Callable[[str], object]) -> Result:
    """Bring the recorded state back. Raises ``RollbackError`` if something differs afterwards."""
    say("bringing the state before back")
    # Where the disk is full, the record goes on saying that something is to be undone, which is right.
    with contextlib.suppress(OSError):
        kept = record.write(kept, record.RESTORING)
    try:
        left = record.restore(kept)
    except (OSError, UserError) as error:
        left = (reason(error),)
    if left:
        because = f"{'; '.join(why)}; and then " if why else ""
        raise RollbackError(
            f"{because}the state before could not be brought back: {'; '.join(left)[:600]}",
            f"metalassay fix --undo --env {kept.prefix}; the whole set is in"
            f" {record.path_of(Path(kept.prefix))}",
        )
    with contextlib.suppress(OSError):
        record.write(kept, record.UNDONE)
    return Result(ROLLED_BACK, why)


def install(command: Sequence[str], manager: Manager, held: int) -> str:
    """Run the installer; return why it failed, "" if it did not. ``held`` is the lock that it inherits."""
    words = list(command)
    if words[0] == "uv":
        words[0] = resolver.program()
    try:
        done = subprocess.run(  # noqa: S603  (shown and agreed to, no shell)
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=_variables(manager),
            pass_fds=(held,),
            check=False,
        )
    except OSError as error:
        return f"{words[0]}: {reason(error)}"
    if done.returncode:
        return one_line(resolver.failure_reason(done.stderr or done.stdout))[:400]
    return ""


def project_files(manager: Manager) -> tuple[Path, ...]:
    """Return the files of the project that the manager's command changes."""
    if manager.project is None or manager.kind not in managers.LOCKED:
        return ()
    names = ["pyproject.toml", managers.LOCKED[manager.kind]]
    names += {"pipenv": ["Pipfile"], "pixi": ["pixi.toml"]}.get(manager.kind, [])
    return tuple(manager.project / name for name in names)


def _variables(manager: Manager) -> dict[str, str]:
    """Return the variables of the installer: this environment, and no other that happens to be active."""
    variables = {**os.environ, **resolver.pip_find_links()}
    if manager.in_venv:
        variables["VIRTUAL_ENV"] = str(manager.prefix)
    if manager.kind == managers.UV_PROJECT:
        variables["UV_PROJECT_ENVIRONMENT"] = str(manager.prefix)
    return variables


def _indented(say: Callable[[str], object]) -> Callable[[str], object]:
    return lambda stage: say(f"  {stage}")
