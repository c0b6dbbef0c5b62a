"""Options, fixtures and file format of the benchmarks; pytest-benchmark does the timing.

A benchmark stores its facts in ``benchmark.extra_info`` last, after its check. A benchmark without
facts, because its result was wrong or the run was interrupted, is not written to the file. On a device
other than the CPU a wrong result is written: the test fails, and the report shows the error beside the
speed.
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

if TYPE_CHECKING:
    import torch
    from pytest_benchmark.fixture import BenchmarkFixture

    from metalassay.workloads.flop_counter import Counts
    from metalassay.workloads.registry import Workload

SHARED = "metalassay.testing.pytest_device"  # --device and its fixture
NO_PROOF = 20  # the exit code with --need-selftest where a check fails
MAX_ROUNDS = 500  # the raw times of a 10 microsecond function would take 7 MB
# pytest-benchmark's defaults: an option with another value was given on the command line.
NO_STORAGE = "file://./.benchmarks"
NO_MIN_TIME = "0.000005"
SAVED = "framework mode dtype batch_size unit items_per_call parameters threads identity"


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError(
            "the benchmarks need pytest-benchmark: python -m pip install 'metalassay[bench]'"
        )
    if not pluginmanager.has_plugin(SHARED):  # the root of a checkout has it loaded
        pluginmanager.import_plugin(SHARED)
    group = parser.getgroup("metalassay")
    group.addoption(
        "--batch-size",
        type=option_types.count,
        action="append",
        metavar="N",
        help="samples per batch; repeatable (default: the batch sizes of each workload)",
    )
    group.addoption(
        "--dtype",
        choices=dtypes.NAMES,
        action="append",
        help="number format, the 16-bit ones by autocast; repeatable (default: float32)",
    )
    group.addoption(
        "--threads",
        type=option_types.whole(1, thread_limit.maximum()),
        metavar="N",
        help="number of CPU threads (default: chosen by torch)",
    )
    group.addoption(
        "--allow-emulated",
        action="store_true",
        help="also run on an emulated mps; its times are meaningless, and no report counts them as MPS",
    )
    group.addoption(
        "--malloc",
        choices=("default", "tuned"),
        default="default",
        help="tuned: glibc keeps freed memory, up to 1.5 times as fast on the CPU (default: default)",
    )
    group.addoption(
        "--processes",
        type=option_types.count,
        default=1,
        metavar="N",
        help="repeat the run in N processes, one after the other, to show the variation between processes (default: 1)",
    )
    group.addoption(
        "--no-selftest",
        action="store_true",
        help="skip the self-test and the measured peak, which take 3 s",
    )
    group.addoption(
        "--need-selftest",
        action="store_true",
        help="end the run before its first benchmark if a check of the self-test fails",
    )
    group.addoption("--series", help=argparse.SUPPRESS)


class Run:
    """The facts of the run as a whole, until they are written to the file."""

    before: conditions.Conditions
    proof: dict[str, Any] | None = None
    skipped = ""  # why the self-test was not run
    began = time.monotonic()
    series: str | None = None


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """With --processes, run this command that many times, each in a process of its own."""
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


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Run the self-test and measure the peak of the device; with -q there is no header, but a proof."""
    config = session.config
    if config.getoption("--no-selftest") or config.option.collectonly:
        Run.skipped = "skipped"
        return
    import torch

    from metalassay.measure import warm_up as preparation
    from metalassay.measure.device import emulated, resolve

    if config.getoption("--threads"):
        torch.set_num_threads(config.getoption("--threads"))
    try:
        device = resolve(config.getoption("--device"))
        if emulated(device):  # it computes at once, so a missing synchronize cannot be seen there
            Run.skipped = "skipped: the device is emulated"
            return
        Run.proof = preparation.prove(device)
    except UserError as error:
        Run.skipped = f"skipped: {error.message}"
        return
    if config.getoption("--need-selftest") and (failed := _failed_checks()):
        pytest.exit("; ".join(failed), returncode=NO_PROOF)


def _failed_checks() -> list[str]:
    from metalassay.measure import warm_up as preparation

    return list(preparation.failures(Run.proof)) if Run.proof else []


def pytest_report_header() -> list[str]:
    """Report the result of the self-test, and the measured peak of the device."""
    from metalassay.measure import warm_up as preparation

    return list(preparation.header(Run.proof)) if Run.proof else [f"selftest: {Run.skipped}"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end, and with -q too, that the clocks cannot be trusted."""
    for failed in _failed_checks():
        terminalreporter.write_line(failed, red=True)


def pytest_configure(config: pytest.Config) -> None:
    """Set how pytest-benchmark saves; it reads its options after all other plugins."""
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
        # A round consists of as many calls as fill this time; the mean time of a call is saved.
        option.benchmark_min_time = f"{float(option.benchmark_max_time) / MAX_ROUNDS:.9f}"
    config.addinivalue_line(
        "markers", "workloads(name, ...): the workloads that this benchmark times"
    )


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
    """Return the device, or end the run if it is emulated and its times are meaningless."""
    from metalassay.measure.device import emulated

    if emulated(device) and not pytestconfig.getoption("--allow-emulated"):
        pytest.exit(
            "--device: this mps is emulated on the CPU, so its times are meaningless; to run the"
            " benchmarks nevertheless, add --allow-emulated",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )
    return device


@pytest.fixture
def workload(
    name: str, mode: str, batch_size: int, dtype: str, measurable: torch.device
) -> Workload:
    """Build the workload, or skip the benchmark if this torch does not support it here."""
    from metalassay.workloads.registry import get, make

    try:
        return make(get(name), mode, measurable, dtype, batch_size)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def disagreements() -> dict[str, str]:
    """Return the disagreements between the device and the CPU found so far, by workload."""
    return {}


@pytest.fixture
def check_and_record(
    benchmark: BenchmarkFixture, workload: Workload, facts: dict[str, Any]
) -> Callable[[], None]:
    """Return the function that ends a benchmark: it checks the result and records the facts."""

    def end() -> None:
        try:
            workload.check()
        except AssertionError as error:
            if workload.device.type == "cpu":
                raise
            benchmark.extra_info.update({**facts, "parity": facts["parity"] or str(error)})
            raise
        benchmark.extra_info.update(facts)
        assert not facts["parity"], f"the speed was recorded, but {facts['parity']}"

    return end


@pytest.fixture
def facts(
    workload: Workload,
    disagreements: dict[str, str],
    facts_of: Callable[[Workload, Counts, str | None], dict[str, Any]],
) -> dict[str, Any]:
    """Return the ``extra_info`` of the workload, counted on a copy on the CPU, and warm it up."""
    from metalassay.measure.device import resolve
    from metalassay.workloads.cpu_parity import disagreement
    from metalassay.workloads.flop_counter import compulsory, count
    from metalassay.workloads.registry import get, make

    w = workload
    if w.name not in disagreements:
        on = w.device.type
        disagreements[w.name] = "" if on == "cpu" else disagreement(get(w.name), on)
    counts = count(make(get(w.name), w.mode, resolve("cpu"), w.dtype, w.batch_size).step)
    return {
        **facts_of(w, counts, disagreements[w.name]),
        "compulsory_bytes_per_call": compulsory(get(w.name), w),
    }


@pytest.fixture
def facts_of(
    pytestconfig: pytest.Config,
) -> Callable[[Workload, Counts, str | None], dict[str, Any]]:
    """Return what warms a workload up and returns its facts, given its counts and its parity.

    Warming up comes last: counting takes seconds, in which an idle device becomes cold again.
    """
    from metalassay.measure.device import emulated, memory
    from metalassay.measure.warm_up import drain, warm_up

    def gather(w: Workload, counts: Counts, parity: str | None) -> dict[str, Any]:
        energy = power.find()
        used = drain(w.step, w.items_per_call, energy)
        warm = warm_up(w.step)
        return {
            "power": used,
            "memory": w.memory() if w.memory else memory(w.device),
            "workload": w.name,
            "device": w.device.type,
            "emulated": emulated(w.device),
            "parity": parity,
            "flop_per_call": counts.flop,
            "bytes_per_call": counts.bytes,
            "malloc": pytestconfig.getoption("--malloc"),
            "warm_up_steps": warm.steps,
            "steady": warm.steady,
            **{field: getattr(w, field) for field in SAVED.split()},
        }

    return gather


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info["hardware"] = hardware.as_dict(hardware.probe())
    del machine_info["node"]  # the host's name, which often contains its owner's


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_commit_info(commit_info: dict[str, Any]) -> None:
    commit_info.pop("error", None)  # git's message may contain paths of this machine


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
    checked = [benchmark for benchmark in output_json["benchmarks"] if benchmark["extra_info"]]
    output_json["benchmarks"] = checked
    flags_of_the_run = list(conditions.flags(Run.before, after, seconds))
    for benchmark in checked:
        extra = benchmark["extra_info"]
        drifted = conditions.drifted(conditions.drift(benchmark["stats"]["data"]))
        unsteady = [] if extra["steady"] else ["not steady after its warm-up"]
        extra["marks"] = [*flags_of_the_run, *unsteady, *([drifted] if drifted else [])]
