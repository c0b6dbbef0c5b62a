"""A run of the benchmarks, from the command line to the file that the report reads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metalassay.environment import versions
from metalassay.machine import hardware
from metalassay.results import load

ROOT = Path(__file__).parents[2]

# Makes the benchmarks with a batch of 3 fail their check after they have been timed.
SABOTAGE = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    from metalassay.workloads import registry
    registry.TOLERANCE["bfloat16"] = -1 if "b3" in item.name else 1
"""


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmarks with ``folder`` in place of the repository."""
    command = [sys.executable, "-m", "pytest", f"-c{ROOT / 'pyproject.toml'}"]
    command += [f"--rootdir={folder}", "-pno:cacheprovider", *arguments, str(ROOT / "benchmarks")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run two benchmarks, one of which fails its check, and return the folder of the run."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "sabotage.py").write_text(SABOTAGE)
    (folder / ".git").mkdir()  # invalid, so that git's error message names this folder
    options = "--batch-size=2 --batch-size=3 --dtype=bfloat16 --threads=1 --device=cpu"
    speed = "--benchmark-max-time=0.02 --benchmark-min-rounds=3"
    run = pytest_in(
        folder, *options.split(), *speed.split(), "-kgpt-tiny and infer", "-psabotage",
        "--benchmark-autosave",
    )  # fmt: skip
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    assert "1 failed, 1 passed" in run.stdout
    assert "checks pass; measured peak of cpu, 1 thread(s)" in run.stdout
    assert "logits in bfloat16 on cpu are off by" in run.stdout
    return folder


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    (file,) = (folder / "reports" / "benchmarks").rglob("*.json")
    return file


@pytest.fixture(scope="module")
def saved(file: Path) -> dict[str, Any]:
    saved: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return saved


@pytest.mark.slow
def test_only_a_benchmark_that_passed_its_check_is_saved(saved: dict[str, Any]) -> None:
    (one,) = saved["benchmarks"]
    assert one["name"] == "test_tiny_gpt[gpt-tiny-b2-infer-bfloat16]"
    assert one["params"] == {
        "name": "gpt-tiny",
        "batch_size": 2,
        "mode": "infer",
        "dtype": "bfloat16",
    }


@pytest.mark.slow
def test_extra_info_describes_what_was_timed(saved: dict[str, Any]) -> None:
    extra = saved["benchmarks"][0]["extra_info"]
    flop, moved = extra.pop("flop_per_call"), extra.pop("bytes_per_call")
    assert re.fullmatch("ast1-[0-9a-f]{12}", extra.pop("identity"))
    assert extra.pop("warm_up_steps") >= 10
    assert isinstance(extra.pop("steady"), bool)
    assert extra.pop("power")["source"] in ("unavailable", "modelled")
    assert extra.pop("memory")["peak_rss"] > 2**20
    assert all(isinstance(mark, str) for mark in extra.pop("marks"))
    # 128 tokens of 8 bytes, 13,568 weights of 4, 128 * 372 logits of 4
    assert extra.pop("compulsory_bytes_per_call") == 128 * 8 + 13_568 * 4 + 128 * 372 * 4
    assert extra == {
        "malloc": "default",
        "framework": "torch",
        "workload": "gpt-tiny",
        "mode": "infer",
        "device": "cpu",
        "dtype": "bfloat16",
        "batch_size": 2,
        "unit": "tokens",
        "items_per_call": 128,
        "parameters": 13_568,
        "threads": 1,
        "emulated": False,
        "parity": "",
    }
    # Per token: 2 for each weight of a matrix, including the embedding as the output layer, and in each
    # of the two layers 2 products of its query with 64 positions of 16 channels.
    assert flop == 128 * (2 * (2 * 12 * 16**2 + 372 * 16) + 2 * 2 * 2 * 64 * 16)
    assert moved > 2 * 128 * 372  # at least the logits


@pytest.mark.slow
def test_the_times_of_all_rounds_are_saved_up_to_a_limit(saved: dict[str, Any]) -> None:
    one = saved["benchmarks"][0]
    assert one["options"]["min_time"] == pytest.approx(0.02 / 500)
    assert 3 <= len(one["stats"]["data"]) <= 500


@pytest.mark.slow
def test_the_file_records_machine_and_versions_but_not_the_host(saved: dict[str, Any]) -> None:
    assert saved["machine_info"]["hardware"] == hardware.as_dict(hardware.probe())
    assert saved["versions"] == versions.installed()
    about = saved["metalassay"]
    assert about["schema"] == "metalassay.benchmarks/1"
    assert about["conditions"]["before"]["cores"] == about["conditions"]["after"]["cores"]
    assert [check["passed"] for check in about["selftest"]["checks"]][2:] == [True, True]
    assert about["selftest"]["roof"]["gb_s"] > 0
    assert "node" not in saved["machine_info"]
    assert "error" not in saved["commit_info"]


@pytest.mark.slow
def test_the_report_can_read_the_file(file: Path, saved: dict[str, Any]) -> None:
    loaded = load.load([file])
    assert loaded.warnings == ()
    (measurement,) = loaded.measurements
    assert list(measurement.seconds) == saved["benchmarks"][0]["stats"]["data"]
    assert measurement.machine == hardware.probe()


@pytest.mark.slow
def test_pytest_benchmark_can_compare_the_file(file: Path) -> None:
    storage = f"--storage=file://{file.parents[1]}"
    command = [sys.executable, "-m", "pytest_benchmark", storage, "compare", str(file)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "gpt-tiny-b2-infer-bfloat16" in run.stdout


def test_without_pytest_benchmark_one_line_names_what_to_install(tmp_path: Path) -> None:
    run = pytest_in(tmp_path, "-pno:benchmark", "--benchmark-autosave")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert run.stderr.split("\n") == [
        "ERROR: the benchmarks need pytest-benchmark: python -m pip install 'metalassay[bench]'",
        "",
        "",
    ]


@pytest.mark.parametrize("option", ["--batch-size", "--threads"])
def test_counting_options_must_be_above_0(tmp_path: Path, option: str) -> None:
    run = pytest_in(tmp_path, option, "0")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"argument {option}: must be a whole number of at least 1, not '0'" in run.stderr


@pytest.mark.slow
def test_a_number_of_threads_that_would_abort_the_process_is_refused(tmp_path: Path) -> None:
    run = pytest_in(tmp_path, "--threads", "100000")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "argument --threads: must be a whole number of at most " in run.stderr


@pytest.mark.slow
def test_several_processes_run_the_benchmarks_several_times(tmp_path: Path) -> None:
    run = pytest_in(
        tmp_path, "--processes=2", "--collect-only", "--no-selftest", "-q", "-kgpt-tiny"
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("test_tiny_gpt[gpt-tiny-b4-train-float32]") == 2


# Lets the self-test find a clock that is wrong.
WRONG_CLOCK = """
from metalassay.measure import selftest
check = selftest.Check("a sleep", False, "20 ms took 40")
selftest.run = lambda device="cpu": (check,)
"""


@pytest.mark.slow
def test_a_quiet_run_proves_its_clock_too_and_says_that_it_failed(tmp_path: Path) -> None:
    (tmp_path / "wrong_clock.py").write_text(WRONG_CLOCK)
    speed = "-kgpt-tiny-b2-infer --batch-size=2 --device=cpu --benchmark-max-time=0.02"
    run = pytest_in(tmp_path, "-q", "-pwrong_clock", *speed.split(), "--benchmark-json=out.json")
    assert run.returncode == 0, run.stdout + run.stderr
    about = json.loads((tmp_path / "out.json").read_text("utf-8"))["metalassay"]
    assert [check["passed"] for check in about["selftest"]["checks"]] == [False]
    assert about["selftest"]["roof"]["gflop_s"] > 0
    assert "selftest FAILED: a sleep: 20 ms took 40" in run.stdout


@pytest.mark.slow
def test_a_run_that_needs_its_clock_ends_before_its_first_benchmark(tmp_path: Path) -> None:
    (tmp_path / "wrong_clock.py").write_text(WRONG_CLOCK)
    run = pytest_in(tmp_path, "-q", "-pwrong_clock", "--device=cpu", "--need-selftest")
    assert run.returncode == 20
    assert "selftest FAILED: a sleep: 20 ms took 40" in run.stdout
    assert "passed" not in run.stdout
