"""A worker runs a row in a process of the client's sources, and ends it when it is not wanted any more."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from metalassay.matrix import fleet_worker, sources

WRITES = """
import json, pathlib, sys
order = json.loads(sys.stdin.buffer.readline())
output = pathlib.Path(order["output"])
output.joinpath("x.json").write_text("new")
output.joinpath("x.log").write_text("what pytest said")
output.joinpath("x.journal").write_text("")
pathlib.Path(order["result"]).write_text(json.dumps({"outcome": order["row"]}))
"""
STAYS = """
import os, pathlib, sys, time
pathlib.Path({pid!r}).write_text(str(os.getpid()))
sys.stdin.buffer.readline()
{then}
"""
Run = Callable[..., "dict[str, Any] | None"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that executes an order with an invented process of a row."""

    def execute(
        program: str, wanted: Callable[[], bool] = lambda: True, **known: bytes
    ) -> dict[str, Any] | None:
        root = tmp_path / "checkout"
        folder = root / "src" / "metalassay" / "matrix"
        folder.mkdir(parents=True)
        for package in (folder.parent, folder):
            (package / "__init__.py").write_text("")
        (folder / "fleet_row.py").write_text(program)
        for name in ("compat", "benchmarks"):
            (root / name).mkdir()
        for name in sources.FILES:
            (root / name).write_text("")
        archive = sources.pack(root)
        files = {name.replace("_", "."): content for name, content in known.items()}
        order = {"row": "x", "known": files, "sources": archive.name}
        return fleet_worker.execute(order, archive.content, tmp_path / "cache", wanted)

    return execute


def test_what_the_row_wrote_comes_back(run: Run, tmp_path: Path) -> None:
    assert run(WRITES, x_json=b"old") == {
        "outcome": "x",
        "files": {"x.json": b"new", "x.log": b"what pytest said"},
    }
    assert list((tmp_path / "cache" / "runs").iterdir()) == []


def test_a_file_that_did_not_change_stays_where_it_is(run: Run) -> None:
    result = run(WRITES, x_json=b"new")
    assert result is not None
    assert list(result["files"]) == ["x.log"]


def test_a_process_that_dies_is_an_error_that_says_how(run: Run) -> None:
    result = run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert result == {
        "error": "the process that ran it ended without a result: signal 9 (SIGKILL)",
        "files": {},
    }


@pytest.mark.parametrize(
    "then", ["sys.stdin.buffer.read()", "time.sleep(600)"], ids=["ends by itself", "is killed"]
)
def test_a_row_that_is_given_up_ends(
    run: Run, tmp_path: Path, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_worker, "_PATIENCE", 0.5)
    pid = tmp_path / "pid"

    def wanted() -> bool:
        return not pid.exists() or not pid.read_text()

    assert run(STAYS.format(pid=str(pid), then=then), wanted) is None
    assert not psutil.pid_exists(int(pid.read_text()))


def test_the_folder_of_a_worker_that_was_killed_is_removed_a_day_later(
    run: Run, tmp_path: Path
) -> None:
    runs = tmp_path / "cache" / "runs"
    for name in ("old", "new"):
        (runs / name).mkdir(parents=True)
    os.utime(runs / "old", (time.time() - 2 * 24 * 3600,) * 2)
    run(WRITES)
    assert [path.name for path in runs.iterdir()] == ["new"]


def test_the_cache_is_where_the_variable_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("METALASSAY_CACHE", str(tmp_path))
    assert fleet_worker.cache() == tmp_path
    monkeypatch.delenv("METALASSAY_CACHE")
    assert fleet_worker.cache() == Path.home() / ".cache" / "metalassay" / "fleet"


def test_an_archive_cannot_leave_its_folder(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    content = stream.getvalue()
    import gzip
    import hashlib

    name = hashlib.sha256(content).hexdigest()[:16]
    with pytest.raises(tarfile.OutsideDestinationError):
        sources.unpack(gzip.compress(content), name, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
