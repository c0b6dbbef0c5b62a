"""For every pytest run here: which device to use, and what machine and versions this is.

Nothing here imports torch before a test asks for the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.machine import hardware

if TYPE_CHECKING:
    import torch

# tests/ runs pytest on invented suites; only this file may ask for the plugin.
pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --device."""
    parser.getgroup("metalassay").addoption(
        "--device",
        choices=("auto", "cpu", "mps", "cuda"),
        default="auto",
        help="where to compute; auto takes the first of mps, cuda and cpu that works here",
    )


def pytest_report_header() -> str:
    """Say on what machine, with what versions."""
    stack = versions.installed(("metalassay", "torch", "accelerate", "transformers"))
    return f"{hardware.describe(hardware.probe())}; " + ", ".join(map(" ".join, stack.items()))


@pytest.fixture(scope="session")
def device(pytestconfig: pytest.Config) -> torch.device:
    """Return the device that --device names; an unusable one ends the run with its reason."""
    from metalassay.measure.device import resolve

    try:
        return resolve(pytestconfig.getoption("--device"))
    except UserError as error:
        pytest.exit(f"--device: {error}", returncode=pytest.ExitCode.USAGE_ERROR)
