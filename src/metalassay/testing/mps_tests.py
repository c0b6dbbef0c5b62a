"""The pytest plugin that says, after the tests, how many computed on MPS, and why the others did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

EMULATION = "metalassay-emulated-mps"  # the plugin's name while --emulate-mps is in use


class MpsTests:
    """Counts the tests with the mark ``mps``: those that ran, and the reasons of the others."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.waiting: set[str] = set()
        self.selected = False
        self.ran = 0
        self.skipped: Counter[str] = Counter()

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Count what the selection leaves out."""
        for item in items:
            if item.get_closest_marker("mps"):
                long = item.get_closest_marker("long")
                self.skipped["takes minutes or gigabytes" if long else "not selected"] += 1

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        """Note what will run."""
        self.waiting = {item.nodeid for item in items if item.get_closest_marker("mps")}
        self.selected = bool(self.waiting)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: when it was skipped, or when it has run."""
        if report.nodeid not in self.waiting:
            return
        # A test that failed as expected is called skipped too, and has a traceback instead of a reason.
        if report.skipped and isinstance(report.longrepr, tuple):
            self.skipped[report.longrepr[2].removeprefix("Skipped: ")] += 1
        elif report.when == "call":
            self.ran += 1
        elif report.failed and report.when == "setup":
            self.skipped["an error before it began"] += 1
        else:
            return
        self.waiting.discard(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the line, unless no test of MPS was to run."""
        if self.selected:
            terminalreporter.write_line(self.line())

    def line(self) -> str:
        """Return the line, as in "mps: 31 tests ran on MPS, 4 did not: takes minutes or gigabytes (3), …"."""
        emulated = "an emulated " if self.config.pluginmanager.hasplugin(EMULATION) else ""
        did = f"mps: {self.ran or 'no'} test{'' if self.ran == 1 else 's'} ran on {emulated}MPS"
        if not self.skipped:
            return did
        reasons = ", ".join(f"{reason} ({count})" for reason, count in self.skipped.most_common())
        return f"{did}, {self.skipped.total()} did not: {reasons}"
