"""Comparisons with real processes, of functions that need no torch. Nothing here asserts a time."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from metalassay.cli import main
from metalassay.compare import compare, rule, running
from metalassay.compare.processes import Processes
from metalassay.compare.specs import Arm, parse
from metalassay.errors import UserError

BENCH = """
import os, sys, time

print("noise on stdout")

def spin():
    sum(range(20_000))

def maker():
    def step():
        sum(range(60_000))
    return step

def broken():
    raise ValueError("no data\\nsecond line")

def dies():
    os._exit(7)
"""


@pytest.fixture(autouse=True)
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    Path("bench.py").write_text(BENCH)
    monkeypatch.setattr(running, "SAMPLE_SECONDS", 0.001)
    before = set(psutil.Process().children(recursive=True))
    yield
    left = [child for child in psutil.Process().children(recursive=True) if child not in before]
    with contextlib.suppress(psutil.NoSuchProcess):
        assert [child for child in left if child.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.slow
def test_three_times_the_work_is_slower() -> None:
    found = compare("bench.py::spin", "bench.py::maker", budget=40, save=Path("run.jsonl"))
    assert found.verdict == "slower", found
    assert found.trios == rule.LOOKS[0][0]
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
        "import metalassay.steady; print([p for p in sys.path if p.endswith('metalassay')])"
    )
    child = Path(__file__).parents[1] / "src" / "metalassay" / "compare_child.py"
    command = [sys.executable, "-I", "-c", code.format(str(child.parent), str(child))]
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
