"""`metalassay matrix scheduler`, `worker` and `run --scheduler`: what is refused, and what is started."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import toy_checkout
from foreground import foreground

from metalassay.cli.main import main
from metalassay.matrix import fleet, fleet_security
from metalassay.matrix.fleet import Fleet
from metalassay.matrix.run_row import Options, Outcome

FLEET = ["--scheduler", "127.0.0.1"]


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy_checkout.make(tmp_path / "checkout", {"a": "", "b": ""}, seconds=0))
    monkeypatch.setenv("METALASSAY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the commands that would have replaced this process."""
    pytest.importorskip("distributed", reason="distributed is not installed")
    commands: list[list[str]] = []

    def become(path: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        assert environment["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] == "1"
        commands.append(list(command))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", become)
    monkeypatch.setattr(fleet_security, "refuse_busy", lambda host, port: None)
    return commands


def test_a_scheduler_is_dasks_and_for_this_machine(started: list[list[str]]) -> None:
    with pytest.raises(SystemExit):
        main(["matrix", "scheduler"])
    [command] = started
    assert command[1:9] == [
        "-P",
        "-m",
        "dask",
        "scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "8786",
    ]


def test_a_worker_is_dasks_and_has_its_resources(started: list[list[str]]) -> None:
    with pytest.raises(SystemExit):
        main(["matrix", "worker", "127.0.0.1:8786", "--resources", "mps m4pro=1", "-j", "2"])
    [command] = started
    assert command[1:6] == ["-P", "-m", "dask", "worker", "tcp://127.0.0.1:8786"]
    assert command[command.index("--resources") + 1] == "mps=1 m4pro=1"
    assert command[command.index("--nthreads") + 1] == "2"


@pytest.mark.parametrize(
    "arguments",
    [
        ["scheduler", "--host", "10.0.0.2"],
        ["worker", "tcp://10.0.0.2:8786"],
        ["run", "a", "--scheduler", "tcp://10.0.0.2:8786"],
        ["worker", "tls://10.0.0.2:8786"],
        ["run", "a", "--scheduler", "tls://10.0.0.2:8786"],
        ["run", "a", *FLEET, "--tls-ca", "ca.pem"],
    ],
    ids=" ".join,
)
def test_an_open_door_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["matrix", *arguments]) == 2
    printed = capsys.readouterr().err
    assert "TLS" in printed
    assert "docs/fleet.md" in printed
    assert len(printed.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--resources", "mps"], "--resources is for a fleet"),
        (["--bench"], "--bench is for a fleet"),
        (["a", "--wait"], "--wait is for a fleet"),
        (["a", "--insecure"], "--insecure is for a fleet"),
        (["a", *FLEET, "-j", "2"], "-j: each worker has its own number"),
        (["a", *FLEET, "--resources", "m=x"], "'m=x' is not a resource"),
        (FLEET, "no row is named"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["matrix", "run", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("state", "code"), [("green", 0), ("red", 1), ("error", 1)])
def test_rows_run_on_the_fleet_that_is_named(
    monkeypatch: pytest.MonkeyPatch, state: str, code: int
) -> None:
    seen: list[Any] = []

    def run(
        rows: Any, options: Options, where: Fleet, known: Mapping[str, float], *, benchmarks: bool
    ) -> list[Outcome]:
        seen.append(([row.id for row in rows], options.fresh, where, benchmarks))
        return [Outcome(row.id, state) for row in rows]

    monkeypatch.setattr(fleet, "run", run)
    more = ["--resources", "linux", "--wait", "--bench", "--fresh"]
    assert main(["matrix", "run", "a", *FLEET, *more]) == code
    assert seen == [
        (["a"], True, Fleet("tcp://127.0.0.1:8786", None, {"linux": 1.0}, wait=True), True)
    ]


def test_a_run_that_was_interrupted_ends_undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second Ctrl+C would kill Python while it shuts down; its exit code would not be 130."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fleet, "run", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    with foreground():
        code = main(["matrix", "run", "a", *FLEET])
        after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGTERM, before)
    assert code == 130
    assert after == [signal.SIG_IGN, signal.SIG_IGN]
