"""The pytest plugin behind ``pytest --emulate-mps``: tests that use ``mps``, without a Mac.

Installed with metalassay, for any project. It imports nothing heavy before the option is given.
``pytest -p metalassay.mps.emulator`` does the same without an option.
"""

from __future__ import annotations

import contextlib

import pytest

_NAME = "metalassay-emulated-mps"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --emulate-mps."""
    parser.getgroup("metalassay").addoption(
        "--emulate-mps",
        nargs="?",
        const="",
        metavar="TORCH",
        help="give the tests an mps device that is emulated on the CPU, with the operators of the"
        " torch that runs or of this version (--emulate-mps=2.8)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start before any conftest imports torch, if asked to."""
    version = early_config.known_args_namespace.emulate_mps
    if version is not None:
        begin(early_config, version)


def begin(config: pytest.Config, version: str = "") -> None:
    """Emulate until pytest ends. Raises ``pytest.UsageError`` where that cannot work."""
    if config.pluginmanager.hasplugin(_NAME):
        return
    from metalassay.errors import UserError
    from metalassay.mps.emulator import session

    stack = contextlib.ExitStack()
    try:
        emulation = session.start(stack, version or None, quiet=True)
    except UserError as error:
        raise pytest.UsageError(f"mps cannot be emulated: {error}") from None
    config.add_cleanup(stack.close)
    config.pluginmanager.register(_Header(str(emulation)), _NAME)


class _Header:
    def __init__(self, text: str) -> None:
        self.text = text

    def pytest_report_header(self) -> str:
        return self.text

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        # Also under -q: nobody may take what passed for something that ran on a Mac.
        terminalreporter.write_line(self.text)
