"""The pytest plugin behind ``pytest --emulate-mps``: run tests that use ``mps`` without a Mac.

It is registered for every project where metalassay is installed, so it imports nothing heavy unless
the option is given. ``pytest -p metalassay.mps.emulator`` does the same without an option.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from metalassay.mps import version_option

if TYPE_CHECKING:
    from metalassay.mps.ported_watch import Watch

_NAME = "metalassay-emulated-mps"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --emulate-mps."""
    parser.getgroup("metalassay").addoption(
        "--emulate-mps",
        nargs="?",
        const="",
        metavar="TORCH",
        help="give the tests an mps device that is emulated on the CPU, with the operators of this"
        " torch release, as in --emulate-mps=2.8 (default: the installed one)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Start before any conftest imports torch, if the option is given."""
    version = version_option.release(early_config, args, "--emulate-mps")
    if version is not None:
        begin(early_config, version)


def begin(config: pytest.Config, version: str = "") -> None:
    """Emulate mps until pytest ends. Raises ``pytest.UsageError`` if that is not possible."""
    if config.pluginmanager.hasplugin(_NAME):
        return
    from metalassay.errors import UserError
    from metalassay.mps.emulator import session

    stack = contextlib.ExitStack()
    try:
        emulation = session.start(stack, version or None, quiet=True)
    except UserError as error:
        raise pytest.UsageError(f"cannot emulate mps: {error}") from None
    config.add_cleanup(stack.close)
    from metalassay.mps import ported, ported_watch

    watch = ported_watch.Watch(ported.rows())
    watch.start()
    stack.callback(watch.stop)
    config.pluginmanager.register(_Header(str(emulation), watch), _NAME)


class _Header:
    def __init__(self, text: str, watch: Watch) -> None:
        self.text = text
        self.watch = watch

    def pytest_report_header(self) -> str:
        return self.text

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        # Also with -q: nobody should think that these tests ran on a Mac.
        terminalreporter.write_line(self.text)
        from metalassay.mps import ported

        for line in ported.summary(self.watch.entries()):
            terminalreporter.write_line(line)
