"""The pytest plugin that lets `metalassay bench` see how far a suite of ours is, while it runs.

It writes one JSON object per line to the file that ``--progress-file`` names: ``{"what": "begins", "test": …}``,
``{"what": "ends", "test": …, "outcome": …, "text": …}`` and ``{"what": "stops", "text": …}``. It also ends the
suite when whoever started it is gone.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from metalassay.testing.parent_watch import end_with_parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --progress-file."""
    parser.getgroup("metalassay").addoption(
        "--progress-file",
        required=True,
        metavar="FILE",
        help="append a JSON line to this file when a test begins and when it ends",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin to write."""
    end_with_parent()
    config.pluginmanager.register(_Progress(config.getoption("--progress-file")))


class _Progress:
    def __init__(self, file: str) -> None:
        self.file = file
        self.outcomes: dict[str, tuple[str, str]] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write(what="begins", test=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A test passes if each of its three phases does; the first that does not is why.
        known = self.outcomes.get(report.nodeid, ("passed", ""))
        if known[0] == "passed":
            self.outcomes[report.nodeid] = (report.outcome, _reason(report))

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        outcome, text = self.outcomes.pop(nodeid, ("unknown", ""))
        self._write(what="ends", test=nodeid, outcome=outcome, text=text)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        # pytest.exit() calls this hook too.
        self._write(what="stops", text=str(excinfo.value))

    def _write(self, **line: Any) -> None:
        with open(self.file, "a", encoding="utf-8") as stream:  # noqa: PTH123
            stream.write(json.dumps(line) + "\n")


def _reason(report: pytest.TestReport) -> str:
    """Return why a test failed or was skipped, in one line."""
    if report.passed:
        return ""
    if isinstance(report.longrepr, tuple):  # of a skip: file, line, reason
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return " ".join((crash.message if crash else report.longreprtext).split())
