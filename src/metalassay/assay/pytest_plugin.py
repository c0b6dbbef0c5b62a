"""The pytest plugin behind ``pytest --assay``: any project's benchmarks, in a form that the report compares.

pytest-benchmark does the timing and writes the file. Beside each benchmark the plugin records the identity of its
source, beside all of them the machine, its conditions and the versions of what the suite had imported; and
it makes every clock wait for the GPU, which pytest-benchmark does not. It is registered for every project where
metalassay is installed, so it does nothing without the option, and imports torch only where the suite has.
"""

from __future__ import annotations

import argparse
import functools
import os
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SCHEMA = "metalassay.suite/1"
MAX_ROUNDS = 500  # the raw times of a 10 microsecond function would take 7 MB
NO_MIN_TIME = "0.000005"
"""pytest-benchmark's default: another value was asked for, and is left as it is."""
_MOST_PACKAGES = 500


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --assay and --assay-processes."""
    group = parser.getgroup("metalassay")
    group.addoption(
        "--assay",
        action="store_true",
        help="save the benchmarks with their rounds, this machine, its conditions, versions and the identity"
        " of their source, and make the clock wait for the GPU; then: metalassay report .benchmarks",
    )
    group.addoption(
        "--assay-processes",
        type=_processes,
        default=1,
        metavar="N",
        help="with --assay, repeat the run in N processes, one after the other: five or more give a ratio its"
        " interval (default: 1)",
    )
    group.addoption("--assay-series", help=argparse.SUPPRESS)


def _processes(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 1000):
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 1000, found {text[:40]!r}")
    return int(text)


@pytest.fixture(scope="session")
def assay_sync() -> Callable[[], None]:
    """Return a function that waits until the GPU has done all its work; it does nothing without torch.

    For code that reads a clock itself: `pytest --assay` waits around every clock of pytest-benchmark anyway.
    """
    return synchronize


def synchronize() -> None:
    """Wait for the GPU that torch uses here; without torch, or without a GPU, return at once."""
    if "torch" not in sys.modules:
        return
    devices = waits_for()
    if devices:
        import torch

        from metalassay.measure.device import synchronize as wait

        for kind in devices:
            wait(torch.device(kind))


def waits_for() -> tuple[str, ...]:
    """Return the devices to wait for: mps where it is there, cuda where it is in use."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "backends"):  # it may be on its way in
        return ()
    mps = ("mps",) if torch.backends.mps.is_available() else ()
    return (*mps, *(("cuda",) if torch.cuda.is_initialized() else ()))


@functools.cache
def waiting(timer: Callable[[], float]) -> Callable[[], float]:
    """Return a clock that is read when the GPU is idle.

    One for each clock, as pytest-benchmark measures the precision of every clock that it has not seen.
    """

    @functools.wraps(timer)
    def read() -> float:
        synchronize()
        return timer()

    return read


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """With --assay-processes, run this command that many times, each in a process of its own."""
    number = config.getoption("--assay-processes")
    if number == 1:
        return None
    if not config.getoption("--assay"):
        raise pytest.UsageError("--assay-processes needs --assay")
    series = f"--assay-series={time.time_ns():x}"
    command = [sys.executable, "-P", "-m", "pytest", *config.invocation_params.args]
    environment = dict(os.environ)
    folder = str(config.invocation_params.dir)
    if {"", folder} & set(sys.path):  # as `python -m pytest` has it, and `pytest` has not
        own = [environment["PYTHONPATH"]] if environment.get("PYTHONPATH") else []
        environment["PYTHONPATH"] = os.pathsep.join([folder, *own])
    codes = [
        subprocess.run(  # noqa: S603
            [*command, "--assay-processes=1", series], env=environment, check=False
        ).returncode
        for _ in range(number)
    ]
    return max(codes, key=abs)


def pytest_configure(config: pytest.Config) -> None:
    """Set how pytest-benchmark saves; it reads its options after all other plugins."""
    option = config.option
    if not option.assay:
        return
    if not hasattr(option, "benchmark_save_data"):
        raise pytest.UsageError(
            "--assay needs pytest-benchmark: python -m pip install pytest-benchmark"
        )
    option.benchmark_save_data = True
    if not (option.benchmark_save or option.benchmark_autosave or option.benchmark_json):
        option.benchmark_save = "assay"
    if option.benchmark_min_time == NO_MIN_TIME:
        # A round consists of as many calls as fill this time; the mean time of a call is saved.
        option.benchmark_min_time = f"{float(option.benchmark_max_time) / MAX_ROUNDS:.9f}"
    config.pluginmanager.register(_Plugin(config), "metalassay-assay-run")


class _Plugin:
    """What is recorded in one run, until pytest-benchmark writes its file."""

    def __init__(self, config: pytest.Config) -> None:
        from metalassay.machine import conditions

        self.config = config
        self.began = time.monotonic()
        self.before = conditions.observe()
        self.facts: dict[str, dict[str, Any]] = {}
        self.written = 0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        fixture = next(
            (
                value
                for name, value in getattr(item, "funcargs", {}).items()
                if name.startswith("benchmark") and callable(getattr(value, "_timer", None))
            ),
            None,
        )
        if fixture is None:
            return (yield)
        from metalassay.assay.source_identity import identity

        fixture._timer = waiting(fixture._timer)
        try:
            return (yield)
        finally:
            self.facts[item.nodeid] = {
                "identity": identity(_functions(item), _parameters(item)),
                "waits_for": ", ".join(waits_for()),
                "threads": _threads(),
            }

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_benchmark_update_machine_info(self, machine_info: dict[str, Any]) -> None:
        from metalassay.machine import hardware

        machine_info["hardware"] = hardware.as_dict(hardware.probe())
        machine_info.pop("node", None)  # the host's name, which often contains its owner's

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_benchmark_update_commit_info(self, commit_info: dict[str, Any]) -> None:
        commit_info.pop("error", None)  # git's message may contain paths of this machine

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        from metalassay.machine import conditions
        from metalassay.results.suite_file import drifted

        self.written = len(output_json["benchmarks"])
        if "metalassay" in output_json:
            return  # our own benchmarks, which record more
        after = conditions.observe()
        seconds = time.monotonic() - self.began
        output_json["versions"] = _versions()
        output_json["metalassay"] = {
            "schema": SCHEMA,
            "project": _project(self.config.rootpath),
            "series": self.config.option.assay_series,
            "emulated": _emulated(),
            "flags": list(conditions.flags(self.before, after, seconds)),
            "conditions": {"before": self.before.as_dict(), "after": after.as_dict()},
        }
        for benchmark in output_json["benchmarks"]:
            facts = self.facts.get(benchmark["fullname"], {})
            mark = drifted(benchmark["stats"].get("data", ()))
            benchmark["metalassay"] = {**facts, "marks": [mark] if mark else []}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what to do next, or why there is nothing to do it with."""
        if not self.written:
            terminalreporter.write_line(
                "--assay: no benchmark was recorded (none ran, or pytest-benchmark is disabled)",
                yellow=True,
            )
            return
        option = self.config.option
        where = option.benchmark_json if option.benchmark_json else option.benchmark_storage
        place = str(where).removeprefix("file://").removeprefix("./")
        # A server's address, perhaps with a password in it.
        following = (
            "save them with --benchmark-json FILE for metalassay report"
            if "://" in place
            else f"metalassay report {shlex.quote(place)}"
        )
        terminalreporter.write_line(
            f"--assay: recorded {self.written} benchmarks; next: {following}"
        )


def _functions(item: pytest.Item) -> Iterator[Callable[..., object]]:
    """Yield the function of a test, and those of its fixtures that come from the project itself."""
    yield item.function  # type: ignore[attr-defined]
    found = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    for name in sorted(found):
        function = found[name][-1].func
        file = str(getattr(getattr(function, "__code__", None), "co_filename", ""))
        if file.startswith(str(item.config.rootpath)) and "site-packages" not in file:
            yield function


def _parameters(item: pytest.Item) -> str:
    return str(getattr(getattr(item, "callspec", None), "id", ""))


def _threads() -> int | None:
    """Return torch's number of threads; None where the suite has not imported torch."""
    torch: Any = sys.modules.get("torch")
    return int(torch.get_num_threads()) if hasattr(torch, "get_num_threads") else None


def _emulated() -> bool:
    """Return whether the mps of this torch is emulated, so that its times say nothing."""
    if "mps" not in waits_for():
        return False
    import torch

    from metalassay.measure.device import emulated

    return emulated(torch.device("mps"))


def _project(root: Path) -> str | None:
    """Return the name in the project's pyproject.toml; None where there is none, as git's name is recorded too."""
    try:
        table = tomllib.loads((root / "pyproject.toml").read_text("utf-8")).get("project")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    name = table.get("name") if isinstance(table, dict) else None
    return name if isinstance(name, str) else None


def _versions() -> dict[str, str]:
    """Return the versions of Python, of the system, and of the packages whose modules have been imported."""
    from importlib import metadata

    from metalassay.environment import versions

    imported = {name.partition(".")[0] for name in tuple(sys.modules)}
    packages = {
        package
        for module, owners in metadata.packages_distributions().items()
        if module in imported
        for package in owners
    }
    found = versions.installed(("metalassay",))
    for package in sorted(packages)[:_MOST_PACKAGES]:
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:  # metadata that is damaged, or being replaced
            continue
        name = package.lower().replace("_", "-").replace(".", "-")
        if version:
            found.setdefault(name, version)
    return found
