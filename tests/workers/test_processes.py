"""Comparisons with real processes, of functions that need no torch. Nothing here asserts a time."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from metalassay.cli.main import main
from metalassay.compare import compare, sampling
from metalassay.errors import UserError
from metalassay.statistics import decision
from metalassay.workers import cpu_pinning, specs
from metalassay.workers.processes import CHILD, Processes
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
    monkeypatch.setattr(sampling, "BLOCK_SECONDS", 0.02)
    monkeypatch.setattr(sampling, "SAMPLE_SECONDS", {"cpu": 0.001, "wall": 0.001})
    before = set(psutil.Process().children(recursive=True))
    yield
    left = [child for child in psutil.Process().children(recursive=True) if child not in before]
    with contextlib.suppress(psutil.NoSuchProcess):
        assert [child for child in left if child.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.slow
def test_three_times_the_work_is_slower() -> None:
    found = compare("bench.py::spin", "bench.py::maker", budget=40, save=Path("run.jsonl"))
    assert found.verdict == "slower", found
    assert found.trios == decision.LOOKS[0][0]
    assert set(found.facts) == {"A", "a", "B"}
    assert found.facts["B"]["peak_rss"] > 0
    # The saved run is complete: asked again, it answers without a process.
    again = compare("bench.py::spin", "bench.py::maker", budget=40, save=Path("run.jsonl"))
    assert (again.decision, again.trios) == (found.decision, found.trios)


def test_the_command_prints_json_and_nothing_of_what_the_benchmark_prints(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = main(["compare", "bench.py::spin", "bench.py::spin", "--budget", "0.1", "--json"])
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert code == 3
    assert found["verdict"] == "inconclusive"
    assert found["trios"] == 1
    assert found["conditions"]["before"]["cores"]
    assert "1 trios" in err


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("broken", "B: ValueError: no data"),
        ("dies", "its process ended"),
        ("absent", "has no attribute 'absent'"),
    ],
)
def test_a_benchmark_that_fails_is_named(
    function: str, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "bench.py::spin", f"bench.py::{function}"]) == 2
    err = capfd.readouterr().err
    assert says.replace("B: ", f"bench.py::{function}: ") in err
    assert "Traceback" not in err


def test_what_a_child_refuses_is_said_in_its_words_and_with_what_helps(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["compare", "bench.py::spin", "bench.py::refuses"]) == 2
    said, helps = capfd.readouterr().err.splitlines()[-2:]
    assert said.endswith("bench.py::refuses: no such curves")
    assert helps.strip() == "next: make some"


def test_an_interpreter_that_is_none_is_named() -> None:
    with (
        Processes() as processes,
        pytest.raises(UserError, match="cannot be started: No such file"),
    ):
        processes.start(Arm("B", parse("bench.py::spin"), "/nowhere/python"))


def test_the_child_does_not_bring_our_packages_into_another_environment() -> None:
    """The folder of our package may be a site-packages with another torch in it."""
    code = (
        "import sys, runpy; sys.argv = ['x']; sys.path[0] = {!r}; "
        "module = runpy.run_path({!r}); module['_our_package'](); "
        "import metalassay.measure.steady_state; print([p for p in sys.path if p.endswith('metalassay')])"
    )
    command = [sys.executable, "-I", "-c", code.format(str(CHILD.parent), str(CHILD))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forks the arms")
def test_only_our_own_work_on_the_cpu_is_forked() -> None:
    processes = Processes()
    here = Arm("A", parse("transit-cnn"), sys.executable)
    assert processes.forks(here)
    assert not processes.forks(Arm("A", parse("transit-cnn:train:device=cuda"), sys.executable))
    assert not processes.forks(Arm("A", parse("bench.py::spin"), sys.executable))
    assert not processes.forks(Arm("A", parse("transit-cnn"), "/other/python"))
    assert not Processes(fresh=True).forks(here)


def test_the_idlest_core_is_taken_and_of_two_idle_ones_the_last() -> None:
    before, now = {0: 100.0, 1: 50.0, 2: 7.0}, {0: 104.0, 1: 50.5, 2: 8.0}
    assert cpu_pinning.idlest((0, 1, 2), before, now) == 0
    assert cpu_pinning.idlest((1, 2), before, now) == 2
    assert cpu_pinning.idlest((0, 1, 2), {}, {0: 3.0, 1: 3.0}) == 1


def test_one_thread_of_the_cpu_can_be_kept_on_a_core_and_nothing_else() -> None:
    one, two, mps = (
        Arm("", specs.parse(f"transit-cnn:train:{options}"), sys.executable)
        for options in ("threads=1", "threads=2", "device=mps")
    )
    assert cpu_pinning.may_be_kept(one, one)
    assert not cpu_pinning.may_be_kept(one, two)
    assert not cpu_pinning.may_be_kept(mps, one)


@pytest.mark.skipif(len(cpu_pinning.allowed()) < 2, reason="needs Linux and two cores to choose of")
def test_the_processes_of_a_trio_share_a_core() -> None:
    found = compare("bench.py::spin", "bench.py::spin", budget=0.1)
    cores = {each["core"] for each in found.facts.values()}
    assert len(cores) == 1
    assert cores <= set(cpu_pinning.allowed())
    free = compare("bench.py::spin:threads=2", "bench.py::spin", budget=0.1)
    assert not any("core" in each for each in free.facts.values())


def test_memory_that_comes_and_goes_by_luck_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """With page faults made up: real ones hang on the C library's mood."""
    real = sampling.trio

    def trio(*arguments: object) -> sampling.TrioRecord:
        return replace(real(*arguments), page_faults=(2.0, 1158.4, 3.0))  # type: ignore[arg-type]

    monkeypatch.setattr(sampling, "trio", trio)
    found = compare("bench.py::spin", "bench.py::spin", budget=0.1)
    assert any("find 2 to 1158 pages" in note for note in found.notes), found.notes
    monkeypatch.setattr(sampling, "trio", real)
    found = compare("bench.py::spin", "bench.py::spin", budget=0.1)
    assert not any("pages" in note for note in found.notes)


def test_real_processes_count_the_pages_they_find() -> None:
    found = compare("bench.py::spin", "bench.py::hoard", budget=0.1).facts
    # Four where the system hands out pages of 2 MiB, two thousand where they have 4 KiB.
    assert found["B"]["page_faults"] > found["A"]["page_faults"] + 3


def test_a_worker_that_is_asked_at_once_answers_when_it_is_warm() -> None:
    with Processes() as processes:
        worker = processes.start(Arm("A", parse("bench.py::spin"), sys.executable))
        wall, cpu = worker.sample(2)
        assert 0 < cpu <= 2 * wall
        assert worker.facts["step"] > 0
        with pytest.raises(UserError, match="no data"):
            processes.start(Arm("B", parse("bench.py::broken"), sys.executable)).finish()
