"""The process of a row: it reads an order, and ends with the line on which the order came."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import toy_checkout

from metalassay.errors import UserError
from metalassay.matrix import bench, fleet, fleet_row, run_row
from metalassay.matrix.matrix_file import Row
from metalassay.matrix.run_row import Options, Outcome


@pytest.fixture
def order(tmp_path: Path) -> dict[str, Any]:
    root = toy_checkout.make(tmp_path / "checkout", {"a": ""}, seconds=0)
    paths = {name: str(tmp_path / name) for name in ("output", "environments", "result")}
    options = {"fresh": False, "strict": True, "arguments": [], "commit": "0123456789ab"}
    return {"row": "a", "root": str(root), **paths, **options}


def test_an_order_runs_its_row_with_the_clients_options(
    order: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Row, Options]] = []

    def run(row: Row, options: Options) -> Outcome:
        seen.append((row, options))
        return Outcome("a", run_row.GREEN, seconds=2.0)

    monkeypatch.setattr(run_row, "run", run)
    record = fleet_row.perform(order, threading.Event())
    [(row, options)] = seen
    assert (row.id, options.commit, options.strict, options.quiet) == (
        "a",
        order["commit"],
        True,
        True,
    )
    assert fleet.outcome(json.loads(json.dumps(record))["outcome"]) == Outcome(
        "a", "green", "", 2.0
    )


@pytest.mark.parametrize("unchanged", [None, datetime(2026, 11, 28, 9, 30, tzinfo=UTC)])
def test_an_outcome_survives_the_journey(unchanged: datetime | None) -> None:
    sent = Outcome("a", run_row.RED, "why", 1.5, unchanged)
    assert fleet.outcome(json.loads(json.dumps(fleet_row.as_record(sent)))) == sent


def test_what_this_machine_lacks_is_an_error_of_the_row(
    order: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(row: Row, options: Options) -> Outcome:
        raise UserError("uv is not installed", "python3 -m pip install uv")

    monkeypatch.setattr(run_row, "run", run)
    record = fleet_row.perform(order, threading.Event())
    assert record == {"error": "uv is not installed", "next": "python3 -m pip install uv"}


def test_without_a_row_it_runs_the_benchmarks(
    order: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "run", lambda options: Outcome("bench", run_row.GREEN))
    record = fleet_row.perform({**order, "row": None}, threading.Event())
    assert record["outcome"]["row"] == "bench"


HANGS = """
import subprocess, sys, time
from metalassay.matrix import fleet_row, run_row
fleet_row._GRACE = 0.2
def run(row, options):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    sys.stderr.write("begins\\n")
    sys.stderr.flush()
    time.sleep(600)
run_row.run = run
sys.exit(fleet_row.main())
"""


def start() -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", HANGS], stdin=pipe, stderr=pipe, start_new_session=True
    )


@pytest.mark.parametrize("how", ["let go", "cut off"])
def test_when_the_worker_is_gone_the_row_and_its_installer_are_killed(
    order: dict[str, Any], how: str
) -> None:
    process = start()
    assert process.stdin is not None
    assert process.stderr is not None
    words = json.dumps(order).encode() + b"\n"
    if how == "cut off":  # a worker that died while it sent the order
        process.stdin.write(words[:10])
        process.stdin.close()
        assert process.wait(timeout=30) == 1
        return
    process.stdin.write(words)
    process.stdin.flush()
    assert process.stderr.readline() == b"begins\n"
    process.stdin.close()
    assert process.wait(timeout=30) == -9
    # The child has the other end of this pipe: it is closed when the child is gone.
    assert process.stderr.read() == b""
