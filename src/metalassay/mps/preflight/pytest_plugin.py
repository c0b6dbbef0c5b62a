"""The pytest plugin behind ``pytest --mps-preflight``: what a project's tests would meet on MPS.

It is registered for every project where metalassay is installed, so it imports nothing heavy unless
the option is given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from metalassay.mps import version_option

if TYPE_CHECKING:
    from metalassay.mps.preflight.recording import Recording


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --mps-preflight."""
    parser.getgroup("metalassay").addoption(
        "--mps-preflight",
        nargs="?",
        const="",
        metavar="TORCH",
        help="record the operators that the tests call on the CPU, and report which of them have no"
        " kernel on MPS in this version of torch (default: the installed version)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Leave a path that follows the option to the paths."""
    version_option.release(early_config, args, "--mps-preflight")


def pytest_configure(config: pytest.Config) -> None:
    """Start recording if the option is given."""
    version = config.getoption("--mps-preflight")
    if version is None:
        return
    from metalassay.errors import UserError
    from metalassay.mps.operators import oracle

    try:
        if version:
            oracle.load(version)
        from metalassay.mps import ported_watch
        from metalassay.mps.preflight import as_mac, beyond, predict, recording, tracing
    except UserError as error:
        raise pytest.UsageError(f"--mps-preflight: {error}") from None
    except ModuleNotFoundError as error:
        raise pytest.UsageError(f"--mps-preflight needs torch: {error}") from None
    record = recording.Recording(predict.settings(), tracing, ported_watch, as_mac, beyond)
    config.pluginmanager.register(_Plugin(record, version), "metalassay-preflight-run")


class _Plugin:
    def __init__(self, recording: Recording, version: str) -> None:
        self.recording = recording
        self.version = version
        self.parts: list[Any] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        # Includes set-up and tear-down, because fixtures build the models.
        with self.recording.running():
            return (yield)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        # In a worker of pytest-xdist: hand over what the process that reports cannot see.
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["metalassay_preflight"] = json.dumps(self.recording.record("", 0))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        output = getattr(node, "workeroutput", {}).get("metalassay_preflight")
        if output is not None:
            self.parts.append(json.loads(output))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        import torch

        from metalassay.errors import UserError
        from metalassay.mps.operators import oracle
        from metalassay.mps.preflight import predict, text

        terminalreporter.section("preflight for MPS")
        own = {**self.recording.record("", 0), "processes": 0, "lost": 0}
        preflight = predict.judge(predict.together(own, self.parts, 0))
        if not preflight.calls:
            terminalreporter.write_line("the tests called no torch operator in this process")
            return
        try:
            version = oracle.load(self.version or torch.__version__).torch
        except UserError as error:  # the installed torch is newer than the data
            terminalreporter.write_line(f"{error}; judged for torch {preflight.versions[-1]}")
            version = preflight.versions[-1]
        terminalreporter.write_line(text.as_text(preflight, version))
