"""Which tests need the machine for themselves, and what a parallel run must not hand on to the programs they start.

`nox -s tests` runs the others in as many processes as there are cores (pytest-xdist), and these after them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ALONE = (
    "bench/test_profiles.py",
    "child/test_census.py",
    "cli/test_bench.py",
    "compare/test_environment.py",
    "measure",
    "repository/test_benchmarks.py",
    "supervise",
)
"""Files and folders whose tests limit, measure or search the processes of the machine."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: needs the machine for itself")
    # pytest-benchmark measures nothing below a worker of pytest-xdist, and tests start it in programs of their own.
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        os.environ.pop(name, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        place = item.path.relative_to(HERE)
        if any(place.is_relative_to(each) for each in ALONE):
            item.add_marker(pytest.mark.alone)


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Put handlers back: a command that was interrupted in this process ignores the signals from then on."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def current_folder() -> Iterator[None]:
    """Hold a test to leave the current folder as it was: the next file in this process may look for the checkout."""
    before = Path.cwd()
    yield
    try:
        after = Path.cwd()
    except FileNotFoundError:
        after = None
    if after != before:
        os.chdir(before)
        pytest.fail(f"this test left {after or 'a folder that is gone'} as the current folder")
