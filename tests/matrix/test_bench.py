"""The benchmarks of a fleet: alone on their machine, with the client's commit in their file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy_checkout

from metalassay.matrix import bench, environments, resolver, run_row
from metalassay.matrix.resolver import Failure
from metalassay.matrix.run_row import Options

Run = Callable[..., int]


@pytest.fixture
def options(tmp_path: Path) -> Options:
    root = toy_checkout.make(tmp_path / "checkout", {"a": ""}, seconds=0)
    (tmp_path / "out").mkdir()
    return Options(root, tmp_path / "out", tmp_path / "environments", commit="0123456789ab+")


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Return a function that invents the installing, and what pytest does."""

    def invent(run: Run) -> None:
        monkeypatch.setattr(resolver, "lock", lambda *_: ("lib==1",))
        monkeypatch.setattr(environments, "build", lambda *_: None)
        monkeypatch.setattr(run_row, "in_environment", run)

    return invent


def result_of(command: list[str]) -> Path:
    return Path(command[2].removeprefix("--benchmark-json="))


@pytest.mark.parametrize(("code", "state"), [(0, "green"), (1, "red")])
def test_the_file_names_the_clients_commit(
    options: Options, process: Callable[[Run], None], code: int, state: str
) -> None:
    def run(command: list[str], *_: Any) -> int:
        result_of(command).write_text('{"commit_info": {"id": "unversioned"}, "benchmarks": []}')
        return code

    process(run)
    assert bench.run(options).state == state
    [path] = options.output.iterdir()
    assert json.loads(path.read_text())["commit_info"] == {"id": "0123456789ab", "dirty": True}


def test_no_row_runs_beside_them(options: Options, process: Callable[[Run], None]) -> None:
    import fcntl

    def run(command: list[str], *_: Any) -> int:
        shared = environments.all_of(options.environments)
        lock = shared.parent / f"{shared.name}.lock"
        with lock.open("a") as stream, pytest.raises(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return 0

    process(run)
    assert bench.run(options).why == "pytest ended with code 0 and without a result"


def test_what_cannot_be_installed_is_an_error(
    options: Options, process: Callable[[Run], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    process(lambda *_: 0)
    monkeypatch.setattr(environments, "build", lambda *_: Failure("disk full"))
    assert bench.run(options).why == "could not install: disk full"
    monkeypatch.setattr(resolver, "lock", lambda *_: Failure("no network"))
    assert bench.run(options).why == "could not resolve: no network"


def test_the_requirements_of_an_extra_have_those_of_the_extras_in_it() -> None:
    needed = environments.own_requirements(toy_checkout.ROOT, "bench")
    assert not [name for name in needed if name.startswith("metalassay")]
    assert {"pytest>=8.4", "torch>=2.5", "psutil>=5.9.8"} <= set(needed)
    assert len(needed) == len(set(needed))
