"""The process that imports once and is forked, with packages made for the purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay.compare import compare, sampling
from metalassay.errors import UserError
from metalassay.workers import first_imports, fork_server, processes
from metalassay.workers.processes import Processes
from metalassay.workers.specs import Arm, parse

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux forks the arms"
)

HEAVY = """
import os
print("imported heavy")
with open(os.environ["IMPORTED"], "a") as file:
    file.write(f"{os.getpid()}\\n")
"""
BENCH = """
import heavy
import os, random, threading

with open(os.environ["IMPORTED"] + "-mine", "a") as file:
    file.write(f"{os.getpid()} {random.random()}\\n")

def step():
    sum(range(20_000))
"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A benchmark that imports a package which takes long, as far as the scan can know."""
    monkeypatch.setattr(sampling, "ROUND_SECONDS", 0.02)
    monkeypatch.setattr(sampling, "SAMPLE_SECONDS", {"cpu": 0.001, "wall": 0.001})
    monkeypatch.setenv("IMPORTED", str(tmp_path / "imported"))
    installed = tmp_path / "installed"
    installed.mkdir()
    (installed / "heavy.py").write_text(HEAVY)
    (tmp_path / "bench.py").write_text(BENCH)
    monkeypatch.syspath_prepend(installed)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    real = first_imports._installed
    monkeypatch.setattr(first_imports, "_installed", lambda top: top == "heavy" or real(top))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "bench.py"


def arm(text: str) -> Arm:
    return Arm("A", parse(text), sys.executable)


def imported(bench: Path) -> list[int]:
    return list(map(int, bench.with_name("imported").read_text().split()))


def test_each_server_imports_once_and_every_process_runs_the_file_itself(bench: Path) -> None:
    both = arm("bench.py::step"), arm("bench.py::step")
    with Processes() as found:
        found.prepare(*both)
        assert found.servers == processes.SERVERS == 2
        assert len(set(imported(bench))) == 2
        for _ in range(3):
            workers = [found.start(each) for each in both]
            assert all(worker.sample(1)[0] > 0 for worker in workers)
            for worker in workers:
                worker.close()
    assert len(imported(bench)) == 2  # no more than the servers
    lines = bench.with_name("imported-mine").read_text().splitlines()
    assert len({line.split()[0] for line in lines}) == 6  # processes
    assert len({line.split()[1] for line in lines}) == 6  # random numbers


def test_processes_that_are_compared_are_forks_of_one_server_and_the_next_of_the_other(
    bench: Path,
) -> None:
    bench.write_text(BENCH.replace("random.random()", "os.getppid()"))
    with Processes() as found:
        found.prepare(arm("bench.py::step"))
        for _ in range(4):
            workers = [found.start(arm("bench.py::step")) for _ in range(3)]
            for worker in workers:
                assert worker.facts["pid"]
            for worker in workers:
                worker.close()
    lines = bench.with_name("imported-mine").read_text().splitlines()
    parents = [line.split()[1] for line in lines]
    turns = [set(parents[start : start + 3]) for start in range(0, 12, 3)]
    assert all(len(turn) == 1 for turn in turns)
    assert turns[0] == turns[2] != turns[1] == turns[3]


def test_threads_that_an_import_starts_are_in_the_way_and_each_process_is_started(
    bench: Path,
) -> None:
    (bench.parent / "installed" / "heavy.py").write_text(
        HEAVY
        + "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    found = compare("bench.py::step", "bench.py::step", budget=2)
    (note,) = [note for note in found.notes if "none forked" in note]
    assert note == (
        "each process was started and none forked: what is imported has started 1 thread, which no fork has"
    )
    assert len(imported(bench)) > 3


def test_an_import_that_fails_is_reported_by_the_process_that_runs_the_file(bench: Path) -> None:
    (bench.parent / "installed" / "heavy.py").write_text("raise ImportError('no libheavy')")
    with Processes() as found:
        found.prepare(arm("bench.py::step"))
        assert found.servers == 2
        with pytest.raises(UserError, match="no libheavy"):
            assert found.start(arm("bench.py::step")).facts


def test_one_arm_that_cannot_be_forked_lets_all_be_started(bench: Path) -> None:
    other = Arm("B", parse("bench.py::step"), sys.executable, variables={"X": "1"})
    with Processes() as found:
        found.prepare(arm("bench.py::step"), other)
        assert found.servers == 0
        assert found.start(arm("bench.py::step")).facts["pid"]
    assert len(imported(bench)) == 1


def test_openblas_whose_threads_end_before_a_fork_is_not_in_the_way() -> None:
    pytest.importorskip("numpy")
    code = (
        "import numpy; from metalassay.workers import fork_server as f; print(f.unsafe() or 'safe')"
    )
    assert _python(code) == "safe"


def test_initialised_cuda_is_in_the_way() -> None:
    code = (
        "import sys, types; from metalassay.workers import fork_server as f;"
        "cuda = types.SimpleNamespace(is_initialized=lambda: True);"
        "sys.modules['torch'] = types.SimpleNamespace(cuda=cuda); print(f.unsafe())"
    )
    assert _python(code) == "what is imported has initialised CUDA, which no fork can use"


def test_torch_starts_no_thread_that_is_in_the_way() -> None:
    pytest.importorskip("torch")
    code = (
        "import json, socket; from metalassay.workers import fork_server as f;"
        "wanted = {'imports': [['torch', []], ['torch._dynamo', []]], 'folder': ''};"
        "print(json.dumps(f._imports(wanted)), f.threads())"
    )
    assert _python(code) == f"{json.dumps('')} 1"


def _python(code: str) -> str:
    source = str(Path(fork_server.__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": source, "OPENBLAS_NUM_THREADS": "2"},
    ).stdout.strip()
