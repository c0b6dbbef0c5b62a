"""``pytest --assay`` in a project of somebody else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from metalassay.assay import pytest_plugin
from metalassay.results import load

PLUGIN = ("-p", "metalassay.assay.pytest_plugin", "-p", "no:cacheprovider", "-q")
QUICK = ("--benchmark-max-time=0.02", "--benchmark-warmup=off")
SUITE = """
    import pytest

    @pytest.fixture
    def rows():
        return list(range(100))

    @pytest.mark.parametrize("reverse", [True, False])
    def test_sort(benchmark, rows, reverse):
        assert len(benchmark(sorted, rows, reverse=reverse)) == 100

    def test_no_benchmark():
        pass
"""


def documents(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("*_assay.json"))]


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makepyfile(test_rows=SUITE)
    pytester.makepyprojecttoml('[project]\nname = "their-tables"\n')
    return pytester


def test_it_records_what_the_report_compares(suite: pytest.Pytester) -> None:
    done = suite.runpytest_subprocess(*PLUGIN, *QUICK, "--assay")
    done.assert_outcomes(passed=3)
    done.stdout.fnmatch_lines(
        ["--assay: recorded 2 benchmarks; next: metalassay report .benchmarks"]
    )
    loaded = load.load([suite.path / ".benchmarks"])
    assert loaded.warnings == ()
    assert [one.name for one in loaded.suites] == [
        "test_rows.py::test_sort[True]",
        "test_rows.py::test_sort[False]",
    ]
    for one in loaded.suites:
        assert one.run.project == "their-tables"
        assert one.raw
        assert one.identity
        assert one.run.versions["pytest-benchmark"]
    assert len({one.identity for one in loaded.suites}) == 2
    (document,) = documents(suite.path)
    assert "node" not in document["machine_info"]
    assert "torch" not in document["versions"]


def test_it_does_nothing_without_the_option(suite: pytest.Pytester) -> None:
    done = suite.runpytest_subprocess(*PLUGIN, *QUICK, "--benchmark-save=plain")
    done.assert_outcomes(passed=3)
    assert "--assay" not in done.stdout.str()
    (path,) = suite.path.rglob("*_plain.json")
    document = json.loads(path.read_text())
    assert not {"metalassay", "versions"} & document.keys()
    assert "data" not in document["benchmarks"][0]["stats"]
    assert "node" in document["machine_info"]


def test_processes_are_one_series(suite: pytest.Pytester) -> None:
    done = suite.runpytest_subprocess(*PLUGIN, *QUICK, "--assay", "--assay-processes=2")
    assert done.ret == 0
    assert len({document["metalassay"]["series"] for document in documents(suite.path)}) == 1
    assert {one.processes for one in load.load([suite.path / ".benchmarks"]).suites} == {2}


def test_processes_find_what_the_first_one_found(suite: pytest.Pytester) -> None:
    """`python -m pytest` has the current folder on its path, so that a suite imports its project from there."""
    suite.makepyfile(their_package="ROWS = [3, 1]")
    suite.makepyfile(
        test_rows="""
        from their_package import ROWS

        def test_sort(benchmark):
            benchmark.pedantic(sorted, [ROWS], rounds=3)
        """
    )
    options = ("--import-mode=importlib", "--assay", "--assay-processes=2")
    # Not with pytester, which puts the folder on the path of every process.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGIN, *options],
        cwd=suite.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    (one,) = load.load([suite.path / ".benchmarks"]).suites
    assert one.processes == 2


def test_a_json_file_is_not_saved_twice(suite: pytest.Pytester) -> None:
    done = suite.runpytest_subprocess(*PLUGIN, *QUICK, "--assay", "--benchmark-json=own.json")
    done.stdout.fnmatch_lines(["--assay: recorded 2 benchmarks; next: metalassay report own.json"])
    assert documents(suite.path) == []
    assert len(load.load([suite.path / "own.json"]).suites) == 2


def test_the_next_command_names_no_server_and_quotes_a_folder() -> None:
    lines: list[str] = []
    for storage in ("elasticsearch+https://me:secret@host/", "file://./my runs"):
        option = SimpleNamespace(benchmark_json=None, benchmark_storage=storage)
        plugin = pytest_plugin._Plugin(cast(pytest.Config, SimpleNamespace(option=option)))
        plugin.written = 2
        reporter = SimpleNamespace(write_line=lambda line, **_: lines.append(line))
        plugin.pytest_terminal_summary(cast(pytest.TerminalReporter, reporter))
    assert lines == [
        "--assay: recorded 2 benchmarks; next: save them with --benchmark-json FILE for metalassay report",
        "--assay: recorded 2 benchmarks; next: metalassay report 'my runs'",
    ]


def test_our_own_benchmarks_keep_their_format(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        """
        import pytest

        @pytest.hookimpl(optionalhook=True)
        def pytest_benchmark_update_json(output_json):
            output_json["metalassay"] = {"schema": "metalassay.benchmarks/1"}
        """
    )
    done = suite.runpytest_subprocess(*PLUGIN, *QUICK, "--assay")
    done.stdout.fnmatch_lines(["--assay: recorded 2 benchmarks; next: *"])
    (document,) = documents(suite.path)
    assert document["metalassay"] == {"schema": "metalassay.benchmarks/1"}
    assert "metalassay" not in document["benchmarks"][0]


def test_a_run_without_benchmarks_says_so(suite: pytest.Pytester) -> None:
    done = suite.runpytest_subprocess(*PLUGIN, "--assay", "--benchmark-disable")
    done.stdout.fnmatch_lines(["--assay: no benchmark was recorded*"])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--assay", "-p", "no:benchmark"], "*--assay needs pytest-benchmark: *pip install*"),
        (["--assay-processes=2"], "*--assay-processes needs --assay*"),
        (["--assay", "--assay-processes=0"], "*expected a number from 1 to 1000, found '0'*"),
    ],
)
def test_what_cannot_be_is_a_usage_error(
    options: list[str], error: str, suite: pytest.Pytester
) -> None:
    done = suite.runpytest_subprocess(*PLUGIN, *options)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in done.stderr.str()
    done.stderr.fnmatch_lines([error])


def test_torch_is_not_imported(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_last="""
        import sys

        def test_it(benchmark, assay_sync):
            benchmark(assay_sync)
            assert "torch" not in sys.modules
        """
    )
    suite.runpytest_subprocess(*PLUGIN, *QUICK, "--assay").assert_outcomes(passed=4)


def test_the_clock_waits_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(pytest_plugin, "synchronize", lambda: seen.append("wait"))

    def timer() -> float:
        seen.append("read")
        return 0.0

    clock = pytest_plugin.waiting(timer)
    assert clock is pytest_plugin.waiting(timer)
    start = clock()
    seen.append("call")
    assert clock() == start
    assert seen == ["wait", "read", "call", "wait", "read"]


def test_every_benchmark_has_the_waiting_clock(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        """
        import pytest

        waits = []

        @pytest.fixture(autouse=True, scope="session")
        def counted():
            from metalassay.assay import pytest_plugin
            pytest_plugin.synchronize = lambda: waits.append(1)

        def pytest_sessionfinish():
            print("waits", len(waits))
        """
    )
    suite.makepyfile(
        test_rows="""
        import time
        import pytest

        def test_pedantic(benchmark):
            benchmark.pedantic(len, [()], rounds=3)

        @pytest.mark.benchmark(timer=time.process_time)
        def test_own_clock(benchmark):
            benchmark.pedantic(len, [()], rounds=4)
        """
    )
    done = suite.runpytest_subprocess(*PLUGIN, "-s", "--assay")
    done.stdout.fnmatch_lines(["*waits 14*"])


@pytest.mark.slow
def test_a_gpu_is_waited_for_and_named(suite: pytest.Pytester) -> None:
    """Torch says that its emulated mps is available; the file says that it was emulated."""
    suite.makepyfile(
        test_rows="""
        import torch

        def test_product(benchmark):
            rows = torch.ones(8, 8, device="mps")
            benchmark.pedantic(lambda: rows @ rows, rounds=3)
        """
    )
    options = ("-p", "metalassay.mps.emulator.pytest_plugin", "--emulate-mps", "--assay")
    suite.runpytest_subprocess(*PLUGIN, *options).assert_outcomes(passed=1)
    (one,) = load.load([suite.path / ".benchmarks"]).suites
    assert one.waits_for == "mps"
    assert one.run.emulated
    assert one.threads
