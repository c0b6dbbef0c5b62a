"""Options, fixtures and file format of the benchmarks; the timing is pytest-benchmark's.

A benchmark hands its facts to ``benchmark.extra_info`` last, after its check. What has none, because
its result was wrong or the run was cut off in the middle of it, does not reach the file. On another
device than the CPU a wrong result does: the test fails, and the report shows it beside the speed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from metalassay.cli import option_types
from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.machine import conditions, dtypes, hardware, power, thread_limit
from metalassay.measure.steady_state import drift

if TYPE_CHECKING:
    import torch
    from pytest_benchmark.fixture import BenchmarkFixture

    from metalassay.workloads.registry import Workload

MOST_ROUNDS = 500  # a function of 10 microseconds would fill 7 MB with its raw times
# What pytest-benchmark has for an option that was not given, to tell whether it was.
NO_STORAGE = "file://./.benchmarks"
NO_MIN_TIME = "0.000005"
SAVED = "mode dtype batch_size unit items_per_call parameters threads identity"


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError(
            "the benchmarks need pytest-benchmark: python -m pip install 'metalassay[bench]'"
        )
    group = parser.getgroup("metalassay")
    group.addoption(
        "--batch-size",
        type=option_types.count,
        action="append",
        metavar="N",
        help="samples in a batch; repeatable (default: those in the table of workloads)",
    )
    group.addoption(
        "--dtype",
        choices=dtypes.NAMES,
        action="append",
        help="repeatable; the 16-bit ones by autocast (default: float32)",
    )
    group.addoption(
        "--threads",
        type=option_types.whole(1, thread_limit.most()),
        metavar="N",
        help="CPU threads (default: torch's choice)",
    )
    group.addoption(
        "--allow-emulated",
        action="store_true",
        help="run on an emulated mps too; its times say nothing, and no report takes them for MPS",
    )
    group.addoption(
        "--malloc",
        choices=("default", "tuned"),
        default="default",
        help="tuned: glibc keeps freed memory, which is worth up to 1.5 times on the CPU",
    )
    group.addoption(
        "--processes",
        type=option_types.count,
        default=1,
        metavar="N",
        help="run it all in N processes, one after the other: what a saved run can say of chance",
    )
    group.addoption(
        "--no-selftest", action="store_true", help="leave out the self-test and the roof (3 s)"
    )
    group.addoption("--series", help=argparse.SUPPRESS)


class Run:
    """What is known of this run as a whole, on its way to the file."""

    before: conditions.Conditions
    proof: dict[str, Any] | None = None
    began = time.monotonic()
    series: str | None = None


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """With --processes, run this command that many times instead."""
    number = config.getoption("--processes")
    if number == 1:
        return None
    series = f"--series={time.time_ns():x}"
    command = [sys.executable, "-m", "pytest", *config.invocation_params.args]
    codes = [
        subprocess.run([*command, "--processes=1", series], check=False).returncode
        for _ in range(number)
    ]
    return max(codes)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Prove the harness before it is believed; say what this device reaches."""
    if config.getoption("--no-selftest") or config.option.collectonly:
        return ["selftest: left out"]
    import torch

    from metalassay.measure import warm_up as preparation
    from metalassay.measure.device import resolve

    if config.getoption("--threads"):
        torch.set_num_threads(config.getoption("--threads"))
    try:
        Run.proof = preparation.prove(resolve(config.getoption("--device")))
    except UserError as error:
        return [f"selftest: left out: {error.message}"]
    return list(preparation.header(Run.proof))


def pytest_configure(config: pytest.Config) -> None:
    """Set how pytest-benchmark saves; it reads these options last of all plugins."""
    option = config.option
    if option.malloc == "tuned":
        from metalassay.machine.malloc import tune_malloc

        try:
            tune_malloc()
        except UserError as error:
            raise pytest.UsageError(f"--malloc: {error}") from None
    Run.before, Run.series = conditions.observe(), option.series
    option.benchmark_save_data = True
    if option.benchmark_storage == NO_STORAGE:
        option.benchmark_storage = str(config.rootpath / "reports" / "benchmarks")
    if option.benchmark_min_time == NO_MIN_TIME:
        # A round is as many calls as fill this time; what is saved is the time of one call.
        option.benchmark_min_time = f"{float(option.benchmark_max_time) / MOST_ROUNDS:.9f}"
    config.addinivalue_line("markers", "workloads(name, ...): what this benchmark times")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("workloads")
    if mark is None:
        return
    from metalassay.workloads.registry import MODES, WORKLOADS

    sizes = metafunc.config.getoption("--batch-size")
    rows = [
        pytest.param(name, size, id=f"{name}-b{size}")
        for name in mark.args
        for size in sizes or WORKLOADS[name].batch_sizes
    ]
    metafunc.parametrize(("name", "batch_size"), rows)
    metafunc.parametrize("mode", MODES)
    metafunc.parametrize("dtype", metafunc.config.getoption("--dtype") or ["float32"])


@pytest.fixture(scope="session", autouse=True)
def threads(pytestconfig: pytest.Config) -> None:
    number = pytestconfig.getoption("--threads")
    if number is not None:
        import torch

        torch.set_num_threads(number)


@pytest.fixture(scope="session")
def measurable(pytestconfig: pytest.Config, device: torch.device) -> torch.device:
    """Return the device, if a time that it takes means anything; otherwise end the run."""
    from metalassay.measure.device import emulated

    if emulated(device) and not pytestconfig.getoption("--allow-emulated"):
        pytest.exit(
            "--device: this mps is emulated on the CPU, so there is nothing to measure (to see the"
            " benchmarks run all the same: --allow-emulated)",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )
    return device


@pytest.fixture
def workload(
    name: str, mode: str, batch_size: int, dtype: str, measurable: torch.device
) -> Workload:
    """Build the workload; what this torch cannot do here is skipped."""
    from metalassay.workloads.registry import get, make

    try:
        return make(get(name), mode, measurable, dtype, batch_size)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def disagreements() -> dict[str, str]:
    """Remember where the device departs from the CPU, by workload."""
    return {}


@pytest.fixture
def settle(
    benchmark: BenchmarkFixture, workload: Workload, facts: dict[str, Any]
) -> Callable[[], None]:
    """Return what ends a benchmark: it checks what was timed, and hands the facts over."""

    def settled() -> None:
        try:
            workload.check()
        except AssertionError as error:
            if workload.device.type == "cpu":
                raise
            benchmark.extra_info.update({**facts, "parity": facts["parity"] or str(error)})
            raise
        benchmark.extra_info.update(facts)
        assert not facts["parity"], f"the speed is kept, but {facts['parity']}"

    return settled


@pytest.fixture
def facts(
    workload: Workload, disagreements: dict[str, str], pytestconfig: pytest.Config
) -> dict[str, Any]:
    """Return the ``extra_info`` of the workload, with what a twin on the CPU counts; warm it up.

    In this order: counting takes seconds, and a device that rests that long is cold again.
    """
    from metalassay.measure.device import emulated, memory, resolve
    from metalassay.measure.warm_up import drain, warm_up
    from metalassay.workloads.cpu_parity import disagreement
    from metalassay.workloads.flop_counter import compulsory, count
    from metalassay.workloads.registry import get, make

    w = workload
    if w.name not in disagreements:
        on = w.device.type
        disagreements[w.name] = "" if on == "cpu" else disagreement(get(w.name), on)
    counts = count(make(get(w.name), w.mode, resolve("cpu"), w.dtype, w.batch_size).step)
    energy = power.find()
    used = drain(w.step, w.items_per_call, energy)
    warm = warm_up(w.step)
    return {
        "power": used,
        "memory": memory(w.device),
        "workload": w.name,
        "device": w.device.type,
        "emulated": emulated(w.device),
        "parity": disagreements[w.name],
        "flop_per_call": counts.flop,
        "bytes_per_call": counts.bytes,
        "compulsory_bytes_per_call": compulsory(get(w.name), w),
        "malloc": pytestconfig.getoption("--malloc"),
        "warm_up_steps": warm.steps,
        "steady": warm.steady,
        **{field: getattr(w, field) for field in SAVED.split()},
    }


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info["hardware"] = hardware.as_dict(hardware.probe())
    del machine_info["node"]  # the host's name, often its owner's


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_commit_info(commit_info: dict[str, Any]) -> None:
    commit_info.pop("error", None)  # what git printed may name folders of this machine


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    output_json["versions"] = versions.installed()
    after = conditions.observe()
    seconds = time.monotonic() - Run.began
    output_json["metalassay"] = {
        "schema": "metalassay.benchmarks/1",
        "series": Run.series,
        "selftest": Run.proof,
        "conditions": {"before": Run.before.as_dict(), "after": after.as_dict()},
    }
    output_json["benchmarks"] = [each for each in output_json["benchmarks"] if each["extra_info"]]
    of_all = list(conditions.flags(Run.before, after, seconds))
    for each in output_json["benchmarks"]:
        extra, drifted = each["extra_info"], conditions.drifted(drift(each["stats"]["data"]))
        unsteady = [] if extra["steady"] else ["not steady after its warm-up"]
        extra["marks"] = [*of_all, *unsteady, *([drifted] if drifted else [])]
