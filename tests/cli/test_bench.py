"""`metalassay bench`: what is printed and with which exit code; and, slow, a whole run on the CPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from metalassay.bench import devices, run
from metalassay.bench.run import Finished
from metalassay.cli.main import main
from metalassay.report.model import Table

TABLE = Table("", ("", "this machine"), (("cpu: x", "1 item/s"),), (False, False), ("a note",))


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> list[Finished]:
    """Let a run end with the last of these."""
    ends = [Finished(table=TABLE, file=Path("a.json"), card=Path("a.svg"))]
    monkeypatch.setattr(devices, "require", lambda: None)
    monkeypatch.setattr(run, "run", lambda wanted, progress: ends[-1])
    return ends


@pytest.mark.usefixtures("finished")
def test_a_run_ends_with_the_table_and_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:3]] == ["cpu: x", "1 item/s"]
    assert lines[3] == "- a note"
    assert lines.index("a.json") + 1 == lines.index("a.svg")
    assert "Nothing was sent." in " ".join(lines[-2:])


def test_a_clock_that_cannot_be_trusted_is_named_on_stderr(
    finished: list[Finished], capsys: pytest.CaptureFixture[str]
) -> None:
    finished.append(Finished(proof="cpu: selftest FAILED: a sleep: 20 ms"))
    assert main(["bench"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("metalassay: the clock of this machine cannot be trusted: cpu: selftest")


def test_a_failed_benchmark_is_exit_code_1(
    finished: list[Finished], capsys: pytest.CaptureFixture[str]
) -> None:
    finished.append(Finished(table=TABLE, failed=(("cpu: x", "failed: why"),)))
    assert main(["bench"]) == 1
    assert "FAILED: cpu: x: failed: why" in capsys.readouterr().out


@pytest.mark.usefixtures("finished")
def test_json_is_all_that_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == "a.json"


def test_a_missing_package_is_two_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "NEEDS", ("torch_is_not_here",))
    assert main(["bench"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "metalassay: bench needs torch-is-not-here, which is not installed",
        "  next: pip install 'metalassay[bench]'",
    ]


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "601", "x"])
def test_seconds_are_a_time(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", f"--seconds-per-workload={seconds}"])
    assert ended.value.code == 2
    assert "must be a number above 0 and at most 600" in capsys.readouterr().err


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-P",
        "-m",
        "metalassay",
        "bench",
        *arguments,
    ]  # as the script starts
    environment = {**os.environ, "COLUMNS": "80", "PYTEST_ADDOPTS": "--no-such-option"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_as_ctrl_c_does(number: signal.Signals, tmp_path: Path) -> None:
    """The suite is a process of its own, in a folder that must not stay."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "metalassay", "bench", "--device=cpu"],
        cwd=tmp_path, env={**os.environ, "TMPDIR": str(temporary)}, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not list(temporary.glob("metalassay-bench-*/log.txt")):
            assert child.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        child.send_signal(number)
        said = child.communicate(timeout=60)[1]
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 130, said
    assert said.splitlines()[-1] == "metalassay: interrupted; no file was left half-written"
    assert list(temporary.glob("metalassay-bench-*")) == []


@pytest.mark.slow
def test_a_short_run_on_the_cpu_measures_and_is_marked_as_too_short(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('a file of the user was imported')")
    done = bench(tmp_path, "--device=cpu", "--seconds-per-workload=0.05", "--json")
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    assert {(one["workload"], one["mode"]) for one in read["results"]} == {
        (workload, mode) for workload in ("transit-cnn", "gpt-small") for mode in ("train", "infer")
    }
    assert all(one["median"] > 0 for one in read["results"])
    assert read["measured_peaks"]["cpu"]["gb_s"] > 0
    assert [p["problem"] for p in read["problems"] if "too short: 0.05 s" in p["problem"]]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted([Path(read["file"]).name, Path(read["card"]).name, "random.py"])
    checked = subprocess.run(
        [sys.executable, "-m", "metalassay", "results", "check", str(tmp_path / read["file"])],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 1
    assert "too short: 0.05 s of rounds" in checked.stdout
