"""The pytest plugin of our suites: the option --device, the marks, and a header with the machine.

Nothing here imports torch before a test uses the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.machine import hardware
from metalassay.testing.mps_tests import MpsTests

if TYPE_CHECKING:
    import torch

MARKS = (
    "bug(id, symptom): the test asserts the correct behaviour; bugs/data/ says where it fails, and how",
    "package(name): what this package is for; rows that test few bugs of it run this too",
    "mps: computes on MPS; the row mps of the matrix runs these, but for the long ones",
    "long: takes minutes, or gigabytes of memory, even on the device",
    "slow: needs several processes, a Trainer or seconds; the quick rows of the matrix leave it out, and so may you",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --device."""
    parser.getgroup("metalassay").addoption(
        "--device",
        choices=("auto", "cpu", "mps", "cuda"),
        default="auto",
        help="device to compute on; auto is the first of mps, cuda and cpu that works (default: auto)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks, and count the tests that compute on MPS."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)
    config.pluginmanager.register(MpsTests(config), "metalassay-mps-tests")


def pytest_report_header() -> str:
    """Report the machine and the versions."""
    stack = versions.installed(("metalassay", "torch", "accelerate", "transformers"))
    return f"{hardware.describe(hardware.probe())}; " + ", ".join(map(" ".join, stack.items()))


@pytest.fixture(scope="session")
def device(pytestconfig: pytest.Config) -> torch.device:
    """Return the device that --device names, or end the run with the reason why it is unusable."""
    from metalassay.measure.device import resolve

    try:
        return resolve(pytestconfig.getoption("--device"))
    except UserError as error:
        pytest.exit(f"--device: {error}", returncode=pytest.ExitCode.USAGE_ERROR)
