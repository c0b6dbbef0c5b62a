"""Runs the smoke test in the environment of a row, and keeps what became of each stage."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from metalassay.environment import versions
from metalassay.machine import hardware
from metalassay.matrix import environments
from metalassay.matrix.matrix_file import Row
from metalassay.results import smoke_file
from metalassay.results.verdict_file import Origin
from metalassay.smoke import parent
from metalassay.smoke.parent import Stage, StoppedError

__all__ = ["NotTheLockError", "StoppedError", "run", "write_not_installable"]

_PATIENCE = 900.0  # seconds of silence; an import on a busy machine takes a minute


class NotTheLockError(Exception):
    """The environment does not have what the resolver chose, so that it proves nothing."""


def run(
    row: Row,
    stop: threading.Event,
    target: Path,
    command: str,
    origin: Origin,
    environment: Path,
    held: int,
) -> None:
    """Run every stage on the CPU and write the file ``target``.

    ``held`` is the descriptor of the environment's lock, which lasts as long as the program. A stage that
    the system killed, as it does when memory is full, or that did not end has a second try. Raises
    ``NotTheLockError``, and ``StoppedError`` after ``stop``.
    """
    began, started = time.monotonic(), datetime.now(UTC)
    installed = _installed(environment)
    _check(installed, origin.lock)
    python = str(environments.python_of(environment.resolve()))

    def tried(stages: Sequence[str]) -> tuple[Stage, ...]:
        return parent.run(python, stages, timeout=_PATIENCE, cpu=True, stop=stop, keep_open=[held])

    found = {stage.name: stage for stage in tried(parent.STAGES)}
    again = [name for name, stage in found.items() if _may_be_the_machine(stage)]
    found |= {stage.name: stage for stage in tried(again)} if again else {}
    record = smoke_file.document(
        row.record(),
        command=command,
        started=started,
        seconds=time.monotonic() - began,
        versions=_stack(installed, origin),
        hardware=hardware.as_dict(hardware.probe()),
        origin=origin,
        stages={name: _as_dict(stage, environment) for name, stage in found.items()},
    )
    smoke_file.write(target, record)


def write_not_installable(target: Path, row: Row, command: str, why: str, origin: Origin) -> None:
    """Write the file of a row that cannot be installed.

    ``why`` is the resolver's sentence, or which package of the lock has no wheel.
    """
    record = smoke_file.document(
        row.record(),
        command=command,
        started=datetime.now(UTC),
        seconds=0.0,
        versions=_stack(_pins(origin.lock), origin),
        hardware=hardware.as_dict(hardware.probe()),
        origin=origin,
        not_installable=why,
    )
    smoke_file.write(target, record)


def _as_dict(stage: Stage, environment: Path) -> dict[str, Any]:
    """Return a stage as the file has it; messages name files by their place in site-packages."""
    record = parent.as_dict(stage)
    folders = rf"{re.escape(str(environment.resolve()))}/lib/python[\d.]+/"
    return {**record, "error": re.sub(folders, "", record["error"])}


def _may_be_the_machine(stage: Stage) -> bool:
    return stage.status == parent.CRASHED and bool(re.search("SIGKILL|did not end", stage.error))


def _installed(environment: Path) -> dict[str, str]:
    """Return the version of every package in an environment, by its name on the index."""
    (folder,) = (environment / "lib").glob("python*/site-packages")
    found = metadata.distributions(path=[str(folder)])
    return {_canonical(each.metadata["Name"]): each.version for each in found}


def _check(installed: dict[str, str], lock: Sequence[str]) -> None:
    """Raise ``NotTheLockError`` unless exactly the lock is installed: many rows take turns there."""
    wanted = _pins(lock)
    differing = sorted(
        name for name in {*wanted, *installed} if wanted.get(name) != installed.get(name)
    )
    if differing:
        name = differing[0]
        raise NotTheLockError(
            f"the environment has {name} {installed.get(name)}, the lock {wanted.get(name)}"
        )


def _pins(lock: Sequence[str]) -> dict[str, str]:
    """Return the version of every package of a lock, by its name on the index."""
    pins = (pin.partition("==") for pin in lock)
    return {_canonical(name): version.strip() for name, equals, version in pins if equals}


def _stack(installed: Mapping[str, str], origin: Origin) -> dict[str, str]:
    """Return the versions that a file names: Python's, and those of the training stack."""
    python = (origin.interpreter or "").rpartition(" ")[2]
    stack = {name: installed[name] for name in versions.STACK if name in installed}
    return {**({"python": python} if python else {}), **stack}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
