"""Comparisons of functions that need no torch, with real processes. No test asserts a time."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
import venv
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from metalassay import minder
from metalassay.cli.main import main
from metalassay.compare import compare, sampling, saved_run
from metalassay.errors import UserError
from metalassay.statistics import decision
from metalassay.workers import cpu_pinning
from metalassay.workers.processes import Processes, TimeIsUpError
from metalassay.workers.specs import Arm, parse

BENCH = """
import mmap, os, sys, time

print("noise on stdout")

def spin():
    sum(range(20_000))

def maker():
    def step():
        sum(range(60_000))
    return step

def hoard():
    with mmap.mmap(-1, 8_000_000) as memory:
        memory.write(bytes(8_000_000))

def broken():
    raise ValueError("no data\\nsecond line")

def refuses():
    from metalassay.errors import UserError
    raise UserError("no such curves", "make some")

def dies():
    os._exit(7)
"""


@pytest.fixture(autouse=True)
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    Path("bench.py").write_text(BENCH)
    monkeypatch.setattr(sampling, "ROUND_SECONDS", 0.02)
    monkeypatch.setattr(sampling, "SAMPLE_SECONDS", {"cpu": 0.001, "wall": 0.001})
    minder.prepare()  # it stays until the end
    before = set(psutil.Process().children(recursive=True))
    yield
    left = [child for child in psutil.Process().children(recursive=True) if child not in before]
    with contextlib.suppress(psutil.NoSuchProcess):
        assert [child for child in left if child.status() != psutil.STATUS_ZOMBIE] == []


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first replicate be complete, however small the budget, which then ends the comparison."""
    from metalassay import compare as room

    def without_deadline(*, fresh: bool, deadline: float) -> Processes:
        return Processes(fresh=fresh)

    monkeypatch.setattr(room, "Processes", without_deadline)


@pytest.mark.slow
def test_three_times_the_work_is_slower() -> None:
    found = compare("bench.py::spin", "bench.py::maker", budget=40, save=Path("run.jsonl"))
    assert found.verdict == "slower", found
    assert found.replicates == decision.ANALYSES[0][0]
    assert set(found.facts) == {"A", "a", "B"}
    assert found.facts["B"]["peak_rss"] > 0
    # The saved run is complete: it answers again without a process.
    again = compare("bench.py::spin", "bench.py::maker", budget=40, save=Path("run.jsonl"))
    assert (again.decision, again.replicates) == (found.decision, found.replicates)


def test_the_command_prints_json_without_the_output_of_the_benchmark(
    complete: None, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main(["compare", "bench.py::spin", "bench.py::spin", "--budget", "0.1", "--json"])
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert code == 3
    assert found["verdict"] == "inconclusive"
    assert found["trios"] == 1
    assert found["conditions"]["before"]["cores"]
    assert "1 replicate," in err


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("broken", "B: ValueError: no data"),
        ("dies", "its process ended"),
        ("absent", "has no attribute 'absent'"),
    ],
)
def test_a_failing_benchmark_is_named(
    function: str, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "bench.py::spin", f"bench.py::{function}"]) == 2
    err = capfd.readouterr().err
    assert says.replace("B: ", f"bench.py::{function}: ") in err
    assert "Traceback" not in err


def test_an_error_of_ours_in_a_child_is_reported_with_its_next_step(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["compare", "bench.py::spin", "bench.py::refuses"]) == 2
    error, next_step = capfd.readouterr().err.splitlines()[-2:]
    assert error.endswith("bench.py::refuses: no such curves")
    assert next_step.strip() == "next: make some"


@pytest.mark.parametrize("late", ["the start", "the warm-up"])
def test_the_budget_holds_whatever_takes_long(late: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Here a process sleeps for minutes, as on a busy machine; without the budget it is an error in the end."""
    sleep = "import time; time.sleep(600)"
    source = {
        "the start": f"{sleep}\ndef spin(): pass\n",
        "the warm-up": f"def spin():\n    {sleep}\n",
    }
    Path("slow.py").write_text(source[late])
    assert main(["compare", "slow.py::spin", "slow.py::spin", "--budget", "2", "--quiet"]) == 3
    out = capfd.readouterr().out
    assert "inconclusive: 0 replicates, too few for an interval" in out
    assert (
        "include the start and the warm-up of processes, were over before two ABBA blocks were"
        in out
    )


def test_the_deadline_ends_a_timing_too() -> None:
    with Processes(deadline=time.monotonic() + 5) as processes:
        worker = processes.start(Arm("A", parse("bench.py::spin"), sys.executable))
        with pytest.raises(TimeIsUpError):
            worker.sample(10**9)


def test_a_budget_for_too_few_replicates_says_what_would_do(
    complete: None, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "bench.py::spin", "bench.py::spin", "--budget", "0.1"]) == 3
    out, err = capfd.readouterr()
    assert "within these three processes: " in out
    assert " ABBA blocks; another start may differ more\n" in out
    assert "  5 replicates more, about " in out
    command = next(line for line in out.splitlines() if line.startswith("  next: "))
    assert command.startswith("  next: metalassay compare bench.py::spin bench.py::spin --budget ")
    assert "the budget of 0.1 s has no room for the first analysis; --budget " in err


def test_a_run_that_can_no_longer_be_saved_is_answered_before_the_error(
    complete: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The disk is full from the second time on: the first is before anything is measured."""
    written: list[Path] = []
    real = saved_run.write

    def write(path: Path, about: Mapping[str, object], state: sampling.State) -> None:
        written.append(path)
        if len(written) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real(path, about, state)

    monkeypatch.setattr(saved_run, "write", write)
    command = ["compare", "bench.py::spin", "bench.py::spin", "--budget", "0.1", "--save", "run"]
    assert main(command) == 2
    out, err = capfd.readouterr()
    assert "B against A: inconclusive: 1 replicate" in out
    assert "metalassay: cannot write run: No space left on device\n  next: " in err
    assert len(written) == 3


def test_a_missing_interpreter_is_named() -> None:
    with (
        Processes() as processes,
        pytest.raises(UserError, match="cannot be started: No such file"),
    ):
        processes.start(Arm("B", parse("bench.py::spin"), "/nowhere/python"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forks the arms")
def test_only_what_runs_in_this_interpreter_on_the_cpu_is_forked() -> None:
    processes = Processes()
    here = Arm("A", parse("transit-cnn"), sys.executable)
    assert processes.forks(here)
    assert processes.forks(Arm("A", parse("bench.py::spin"), sys.executable))
    assert not processes.forks(Arm("A", parse("transit-cnn:train:device=cuda"), sys.executable))
    assert not processes.forks(Arm("A", parse("transit-cnn"), "/other/python"))
    assert not processes.forks(replace(here, variables={"MALLOC_MMAP_MAX_": "0"}))
    assert not Processes(fresh=True).forks(here)


@pytest.mark.skipif(len(cpu_pinning.allowed()) < 2, reason="needs Linux and two cores")
def test_the_processes_of_a_replicate_share_a_core(complete: None) -> None:
    found = compare("bench.py::spin", "bench.py::spin", budget=0.1)
    cores = {each["core"] for each in found.facts.values()}
    assert len(cores) == 1
    assert cores <= set(cpu_pinning.allowed())
    free = compare("bench.py::spin:threads=2", "bench.py::spin", budget=0.1)
    assert not any("core" in each for each in free.facts.values())


def test_page_faults_that_differ_between_processes_are_noted(
    complete: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page faults are invented, since real ones depend on the layout of the heap."""
    real = sampling.run_replicate

    def run_replicate(*arguments: object, **options: object) -> sampling.Replicate:
        return replace(real(*arguments, **options), page_faults=(2.0, 1158.4, 3.0))  # type: ignore[arg-type]

    monkeypatch.setattr(sampling, "run_replicate", run_replicate)
    found = compare("bench.py::spin", "bench.py::spin", budget=0.1)
    assert any("from 2 to 1158 between" in note for note in found.notes), found.notes
    monkeypatch.setattr(sampling, "run_replicate", real)
    found = compare("bench.py::spin", "bench.py::spin", budget=0.1)
    assert not any("page faults" in note for note in found.notes)


def test_real_processes_count_their_page_faults(complete: None) -> None:
    found = compare("bench.py::spin", "bench.py::hoard", budget=0.1).facts
    # Four if the system's pages have 2 MiB, two thousand if they have 4 KiB.
    assert found["B"]["page_faults"] > found["A"]["page_faults"] + 3


def test_a_request_sent_at_once_is_answered_when_the_worker_is_warm() -> None:
    with Processes() as processes:
        worker = processes.start(Arm("A", parse("bench.py::spin"), sys.executable))
        wall, cpu = worker.sample(2)
        assert 0 < cpu <= 2 * wall
        assert worker.facts["step"] > 0
        with pytest.raises(UserError, match="no data"):
            processes.start(Arm("B", parse("bench.py::broken"), sys.executable)).finish()


def test_a_process_that_fails_does_not_wait_for_one_that_takes_long(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whichever is waited for first, which is drawn."""
    Path("slow.py").write_text("import time\ndef spin():\n    time.sleep(600)\n")
    command = ["compare", "slow.py::spin", "bench.py::broken", "--budget", "30", "--quiet"]
    for seed in "012":
        began = time.monotonic()
        assert main([*command, "--seed", seed]) == 2
        assert time.monotonic() - began < 25
        assert "bench.py::broken: ValueError: no data" in capfd.readouterr().err


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has no package at all."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    return str(folder / ("Scripts" if sys.platform == "win32" else "bin") / "python")


@pytest.mark.parametrize(
    "what",
    ["transit-cnn", "model.py", "torch_bench.py::step"],
    ids=["workload", "model", "function"],
)
@pytest.mark.parametrize("place", [0, 1], ids=["A", "B"])
def test_an_interpreter_without_torch_is_one_line_and_no_traceback(
    what: str, place: int, without_torch: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("torch_bench.py").write_text("import torch\ndef step(): pass\n")
    Path("model.py").write_text("import torch\ndef make(batch_size): pass\n")
    arms = [sys.executable, sys.executable]
    arms[place] = without_torch
    assert main(["compare", *arms, "--of", what, "--budget", "60", "--quiet"]) == 2
    assert capfd.readouterr().err == (
        f"metalassay: {without_torch}: ModuleNotFoundError: No module named 'torch'\n"
        f"  next: {without_torch} -m pip install torch, or name the Python that has it\n"
    )
