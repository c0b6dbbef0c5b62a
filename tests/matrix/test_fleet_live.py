"""A real scheduler and real workers on this machine, with rows that need no torch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import fleet_demo
import psutil
import pytest
import toy_checkout
from fleet_demo import PROGRAM, Machines
from foreground import foreground

from metalassay.results import smoke_file, unfinished

pytest.importorskip("distributed", reason="distributed is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fleet")


@pytest.fixture(scope="module")
def checkout(folder: Path) -> Iterator[Path]:
    rows = dict.fromkeys(("a", "b", "c"), "") | {
        "mac": 'needs = ["mps"]',
        "smoke": 'runs = "smoke"',
    }
    root = toy_checkout.make(folder / "checkout", rows, seconds=4)
    before = Path.cwd()
    os.chdir(root)
    yield root
    os.chdir(before)


@pytest.fixture(scope="module")
def fleet(folder: Path, checkout: Path) -> Iterator[Machines]:
    with fleet_demo.machines(folder, 3, "--resources", "linux=1") as running:
        yield running


def start(fleet: Machines, output: Path, *rows: str) -> subprocess.Popen[str]:
    command = [*PROGRAM, "run", *rows, "--scheduler", fleet.address, "-o", str(output)]
    with foreground():
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
        )


def test_verdicts_are_those_of_a_serial_run_and_are_not_made_again(
    fleet: Machines, folder: Path
) -> None:
    local = [*PROGRAM, "run", "a", "b", "c", "-o", str(folder / "serial")]
    subprocess.run([*local, "--environments", str(folder / "environments")], check=True)
    first = start(fleet, folder / "out", "a", "b", "c")
    assert "3 rows, 0 red" in first.communicate()[0]
    assert first.returncode == 0
    for row in "abc":
        ours, theirs = folder / "out" / f"{row}.json", folder / "serial" / f"{row}.json"
        assert fleet_demo.without_times_and_host(ours) == fleet_demo.without_times_and_host(theirs)
        assert json.loads(ours.read_text())["origin"]["key"]
        assert not unfinished.path_of(ours).exists()
    written = [(folder / "out" / f"{row}.json").stat().st_mtime_ns for row in "abc"]
    again = start(fleet, folder / "out", "a", "b", "c").communicate()[0]
    assert again.count("unchanged since") == 3
    assert written == [(folder / "out" / f"{row}.json").stat().st_mtime_ns for row in "abc"]


def test_a_smoke_test_leaves_the_file_of_a_serial_run(fleet: Machines, folder: Path) -> None:
    local = [*PROGRAM, "run", "smoke", "-o", str(folder / "serial")]
    # Without torch, one stage fails, which no known bug explains.
    subprocess.run([*local, "--environments", str(folder / "environments")], check=False)
    printed = start(fleet, folder / "smoke", "smoke").communicate()[0]
    assert "no known bug explains: Accelerator" in printed
    assert "1 row, 1 red" in printed
    ours, theirs = folder / "smoke" / "smoke.json", folder / "serial" / "smoke.json"
    assert fleet_demo.without_times_and_host(ours) == fleet_demo.without_times_and_host(theirs)
    assert {stage.status for stage in smoke_file.load(ours).stages} == {"absent", "failed"}
    again = start(fleet, folder / "smoke", "smoke").communicate()[0]
    assert "unchanged since" in again


def test_the_row_of_a_worker_that_is_killed_runs_elsewhere(fleet: Machines, folder: Path) -> None:
    running = start(fleet, folder / "killed", "a", "b", "c")
    left = fleet_demo.kill_worker_of("b", fleet)
    assert left
    assert fleet_demo.survivors(left) == []
    printed = running.communicate()[0]
    assert running.returncode == 0, printed
    assert "b: its worker on" in printed
    assert {path.name for path in (folder / "killed").glob("*.json")} == {
        "a.json",
        "b.json",
        "c.json",
    }
    assert not list((folder / "killed").glob("*.unfinished"))


def test_a_row_that_kills_two_workers_is_an_error_and_its_neighbours_are_not(
    fleet: Machines, folder: Path
) -> None:
    running = start(fleet, folder / "twice", "a", "b", "c")
    for _ in range(2):
        assert fleet_demo.survivors(fleet_demo.kill_worker_of("c", fleet)) == []
    printed = running.communicate()[0]
    assert running.returncode == 1, printed
    assert "c (" in printed
    assert "2 workers died while they ran it" in printed
    assert {path.name for path in (folder / "twice").glob("*.json")} == {"a.json", "b.json"}
    marker = json.loads((folder / "twice" / "c.unfinished").read_text())
    assert "2 workers died" in marker["why"]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_rows_on_the_workers(
    fleet: Machines, folder: Path, number: signal.Signals, times: int
) -> None:
    output = folder / f"interrupted-{number.name}-{times}"
    running = start(fleet, output, "a")
    tests: psutil.Process = fleet_demo.wait_until(lambda: fleet_demo.tests_of("a", fleet))
    worker = fleet_demo.worker_of(tests)
    running.send_signal(number)
    if times == 2:
        fleet_demo.wait_until(lambda: _why(output / "a.unfinished") == "interrupted")
        running.send_signal(number)  # while it takes its tasks back, closes, and shuts down
    printed = running.communicate()[0]
    assert running.returncode == 130, printed
    assert "Traceback" not in printed
    assert fleet_demo.survivors([tests]) == []
    assert worker.is_running()
    assert _why(output / "a.unfinished") == "interrupted"


def _why(marker: Path) -> str:
    """Return why a row has no verdicts, as its marker says; "" if there is none."""
    return str(json.loads(marker.read_text())["why"]) if marker.exists() else ""


def test_a_need_that_no_worker_meets_is_said_at_once(fleet: Machines, folder: Path) -> None:
    began = time.monotonic()
    running = start(fleet, folder / "needs", "a", "mac")
    printed = running.communicate()[0]
    assert running.returncode == 2
    assert "mac needs mps=1; the workers offer: linux=1" in printed
    assert time.monotonic() - began < 60
    assert not (folder / "needs").exists()


def test_nothing_listens_beyond_this_machine(fleet: Machines) -> None:
    assert fleet.scheduler is not None
    parents = [psutil.Process(process.pid) for process in [fleet.scheduler, *fleet.workers]]
    family = [each for parent in parents for each in [parent, *parent.children(recursive=True)]]
    hosts = {
        connection.laddr.ip
        for process in family
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert hosts == {"127.0.0.1"}


# The last one: afterwards there is no scheduler.
def test_a_lost_scheduler_is_an_error_and_the_same_command_goes_on(
    fleet: Machines, folder: Path
) -> None:
    output = folder / "lost"
    # One row is done before the others begin: three that begin together also end together.
    assert start(fleet, output, "a", "--resources", "linux=1").wait() == 0
    running = start(fleet, output, "b", "c", "--resources", "linux=1")
    fleet_demo.wait_until(lambda: fleet_demo.tests_of("b", fleet))
    fleet.kill_scheduler()
    printed = running.communicate()[0]
    assert running.returncode == 2, printed
    assert "was lost" in printed
    assert "Traceback" not in printed
    done = {path.stem for path in output.glob("*.json")}
    assert "a" in done
    assert "b" not in done
    fleet.start_scheduler()
    fleet.start_worker("--resources", "linux=1")
    fleet.wait_for(1)
    printed = start(fleet, output, "a", "b", "c", "--resources", "linux=1").communicate()[0]
    assert printed.count("unchanged since") == len(done), printed
    assert {path.stem for path in output.glob("*.json")} == {"a", "b", "c"}
