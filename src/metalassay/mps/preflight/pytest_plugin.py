"""The pytest plugin behind ``pytest --mps-preflight``: what the tests of a project would meet on MPS.

Installed with metalassay, for any project. It imports nothing heavy before the option is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from metalassay.mps.preflight.tracing import Recorder


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --mps-preflight."""
    parser.getgroup("metalassay").addoption(
        "--mps-preflight",
        nargs="?",
        const="",
        metavar="TORCH",
        help="record the operators that the tests call on the CPU, and say which of them have no"
        " kernel on MPS, with the torch that runs or with this version",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start recording, if asked to."""
    version = config.getoption("--mps-preflight")
    if version is None:
        return
    from metalassay.errors import UserError
    from metalassay.mps.operators import oracle

    try:
        if version:
            oracle.load(version)
        from metalassay.mps.preflight.tracing import Recorder
    except UserError as error:
        raise pytest.UsageError(f"--mps-preflight: {error}") from None
    except ModuleNotFoundError as error:
        raise pytest.UsageError(f"--mps-preflight needs torch: {error}") from None
    config.pluginmanager.register(_Plugin(Recorder(), version), "metalassay-preflight-run")


class _Plugin:
    def __init__(self, recorder: Recorder, version: str) -> None:
        self.recorder = recorder
        self.version = version

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        # Set-up and tear-down too: fixtures build the models.
        with self.recorder:
            return (yield)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        import torch

        from metalassay.errors import UserError
        from metalassay.mps.operators import oracle
        from metalassay.mps.preflight import predict, text

        terminalreporter.section("preflight for MPS")
        trace = {"torch": torch.__version__, "ended": "", "calls": self.recorder.trace()}
        found = predict.judge(trace)
        if not found.calls:
            terminalreporter.write_line("the tests called no operator of torch in this process")
            return
        try:
            version = oracle.load(self.version or torch.__version__).torch
        except UserError as error:  # a torch newer than the data
            terminalreporter.write_line(f"{error}; judged for {found.versions[-1]}")
            version = found.versions[-1]
        terminalreporter.write_line(text.as_text(found, version))
