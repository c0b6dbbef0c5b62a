"""Applies a plan: keep the state, try, install, try again, and bring the state back if that fails."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from metalassay import safe_path
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

_GRACE = 10.0  # seconds that an interrupted installer has to end

FIXED, ROLLED_BACK = "fixed", "rolled back"


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
            "nothing is changed as root with sudo: the files would belong to another user",
            "run it again without sudo",
        )
    if manager.externally_managed:
        return UserError(
            f"{manager.python} belongs to the operating system, which forbids installing into it",
            managers.advice(manager),
        )
    if not os.access(manager.prefix, os.W_OK):
        return UserError(
            f"you may not write into {manager.prefix}, so nothing was changed",
            "make an environment of your own: python3 -m venv .venv",
        )
    if not requirements:
        return None
    command = managers.install_command(manager, requirements)
    if advice := managers.advice(manager):
        return UserError(f"there is no installer for {manager.python}", advice)
    if command[0] != "uv" and shutil.which(command[0]) is None:
        return UserError(
            f"{command[0]} manages this environment and is not on PATH, so nothing was changed",
            f"install {command[0]}, or add its folder to PATH",
        )
    names = {canonicalize_name(Requirement(each).name) for each in requirements}
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
        if unfinished and unfinished.unfinished:
            raise UserError(
                f"an earlier change of {manager.prefix} did not end", "metalassay fix --undo"
            )
        old = distributions.read(manager.python)
        say("trying the packages as they are")
        stages = smoke.stages_for(old.versions)
        before = smoke.run(manager.python, stages, timeout=timeout, begins=_indented(say))
        say(f"keeping the present state in {record.path_of(old.prefix).parent}")
        kept = record.make(old, command, project_files(manager))
        kept = _begin(kept, record.INSTALLING)
        say(f"installing {' '.join(requirements)} (this can take minutes)")
        failure = install(command, manager, held)
        if failure:
            return back(kept, manager, (f"the installation failed: {failure}",), say)
        try:
            kept = record.write(kept, record.VERIFYING)
            say("trying the packages again")
            verdict = verify.run(
                manager.python, before, requirements, old, distributions.read(manager.python),
                fixes, timeout=timeout, begins=_indented(say),
            )  # fmt: skip
            if not verdict.good:
                return back(kept, manager, verdict.failures, say)
            record.write(kept, record.DONE)
        except (UserError, OSError) as error:
            if isinstance(error, RollbackError):
                raise
            why = error.message if isinstance(error, UserError) else reason(error)
            return back(kept, manager, (f"the change cannot be verified: {why}",), say)
        return Result(FIXED, verdict.still_broken, verdict, before)


def undo(manager: Manager, say: Callable[[str], object] = print) -> Record:
    """Bring back the state before the last change, and return its record.

    Raises ``UserError`` where there is nothing to undo, and ``RollbackError`` where it does not succeed.
    """
    refused = refusal(manager, ())
    if refused is not None:
        raise refused
    with alone(manager.prefix):
        kept = record.load(manager.prefix)
        if kept is None or kept.state in (record.RECORDED, record.UNDONE):
            raise UserError(
                f"nothing that `metalassay fix` changed in {manager.prefix} is left to undo",
                "metalassay doctor",
            )
        with contextlib.suppress(OSError):  # a full disk is no reason not to go back
            kept = record.write(kept, record.RESTORING)
        back(kept, manager, (), say)
        return kept


def back(
    kept: Record, manager: Manager, why: tuple[str, ...], say: Callable[[str], object]
) -> Result:
    """Bring the recorded state back. Raises ``RollbackError`` if something differs afterwards."""
    say("bringing back the state before")
    try:
        left = record.restore(kept)
    except UserError as error:
        left = (error.message,)
    except OSError as error:
        left = (f"{error.filename or manager.prefix}: {reason(error)}",)
    if left:
        because = f"{'; '.join(why)}; and then " if why else ""
        raise RollbackError(
            f"{because}the state before could not be brought back: {'; '.join(left)[:600]}",
            f"metalassay fix --undo --env {shlex.quote(str(manager.prefix))}; the whole set is in"
            f" {record.path_of(manager.prefix)}",
        )
    # All is as it was, whether that can be written down or not: another undo would change nothing.
    with contextlib.suppress(OSError):
        record.write(kept, record.UNDONE)
    return Result(ROLLED_BACK, why)


def _begin(kept: Record, state: str) -> Record:
    """Write down that the environment is about to change; without that nothing is changed."""
    try:
        return record.write(kept, state)
    except OSError as error:
        raise cannot_write(
            record.path_of(Path(kept.prefix)),
            error,
            "make room or rights there; nothing was changed",
        ) from None


def install(command: Sequence[str], manager: Manager, held: int) -> str:
    """Run the installer; return why it failed, "" if it did not. ``held`` is the lock that it inherits."""
    words = list(command)
    try:
        if words[0] == "uv":
            words[0] = resolver.program()
        process = subprocess.Popen(  # noqa: S603  (shown and agreed to, no shell)
            words,
            cwd=manager.project if manager.kind in managers.LOCKED else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=_variables(manager),
            pass_fds=(held,),
        )
    except UserError as error:
        return error.message
    except OSError as error:
        return f"{words[0]}: {reason(error)}"
    try:
        output, errors = process.communicate()
    except KeyboardInterrupt:  # the terminal told the installer too: let it tidy up, and see it end
        try:
            process.communicate(timeout=_GRACE)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
            process.wait()
        raise
    if process.returncode < 0:
        return f"{Path(words[0]).name} was ended by signal {-process.returncode}"
    if process.returncode:
        return one_line(resolver.failure_reason(errors or output))[:400]
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
    variables.pop("PYTHONPATH", None)  # pip would take what is there for installed
    variables.update(safe_path.VARIABLES)
    if manager.in_venv:
        variables["VIRTUAL_ENV"] = str(manager.prefix)
    if manager.kind == managers.UV_PROJECT:
        variables["UV_PROJECT_ENVIRONMENT"] = str(manager.prefix)
    return variables


def _indented(say: Callable[[str], object]) -> Callable[[str], object]:
    return lambda stage: say(f"  {stage}")
