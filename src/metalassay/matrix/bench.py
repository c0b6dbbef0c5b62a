"""Times the workloads as `nox -s bench` does, while no row and no other benchmark runs beside them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from metalassay.files import write_atomically
from metalassay.matrix import environments, matrix_file, resolver, run_row
from metalassay.matrix.matrix_file import Row
from metalassay.matrix.resolver import Failure
from metalassay.matrix.run_row import ERROR, GREEN, RED, Options, Outcome

NAME = "bench"
FOLDER = "benchmarks"


def run(options: Options) -> Outcome:
    """Run the benchmarks, and leave their file in the folder of the options.

    The environment has what the table [bench] of matrix.toml requires. ``options.arguments`` go to pytest.
    Raises ``UserError`` where nothing can be run at all, and ``StoppedError``.
    """
    began = time.monotonic()
    outcome = _run(options)
    return replace(outcome, seconds=time.monotonic() - began)


def _run(options: Options) -> Outcome:
    requires = matrix_file.load(options.root).requires.get(NAME, ())
    row = Row(NAME, requires, "the benchmarks", ())
    python = environments.interpreter(row)
    own = environments.own_requirements(options.root, NAME)
    lock = resolver.lock([*own, *requires], python.path)
    if isinstance(lock, Failure):
        return Outcome(NAME, ERROR, f"could not resolve: {lock.why}")
    environment = environments.folder_of(NAME, options.environments)
    # Rows share the outer lock: to hold it alone is to wait for the last of them.
    with (
        environments.alone(environments.all_of(options.environments)) as held,
        environments.alone(environment) as its_own,
    ):
        failure = environments.build(environment, options.root, lock, python, its_own)
        if failure is not None:
            return Outcome(NAME, ERROR, f"could not install: {failure.why}")
        target = options.output / f"{NAME}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        command, log = _command(environment, target, options.arguments), options.output / NAME
        code = run_row.in_environment(command, options, environment, log, held)
    if not target.exists() or not target.stat().st_size:
        return Outcome(NAME, ERROR, f"pytest ended with code {code} and without a result")
    _note_commit(target, options.commit)
    return Outcome(NAME, RED if code else GREEN)


def _command(environment: Path, target: Path, arguments: Sequence[str]) -> list[str]:
    program = str(environment.resolve() / "bin" / "pytest")
    return [program, FOLDER, f"--benchmark-json={os.path.realpath(target)}", *arguments]


def _note_commit(target: Path, commit: str | None) -> None:
    """Say which commit was timed: pytest-benchmark asks git, which a worker's sources know nothing of."""
    if not commit:
        return
    record = json.loads(target.read_text("utf-8"))
    record["commit_info"] |= {"id": commit.rstrip("+"), "dirty": commit.endswith("+")}
    write_atomically(target, json.dumps(record, indent=4))
