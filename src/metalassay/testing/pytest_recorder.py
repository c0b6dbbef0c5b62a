"""The pytest plugin behind `pytest compat`: collects outcomes, then prints and writes the verdicts."""

from __future__ import annotations

import datetime
import shlex
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from metalassay.bugs import REPORTED_ONLY, Bug, verdict
from metalassay.machine import hardware
from metalassay.results import verdict_file

SLOW = "slow: not in this selection"
"""Why a test that was left out did not run."""

Marked = Callable[[pytest.Item], "tuple[Bug, str | None] | None"]


class Recorder:
    """Collects the outcome of each marked test; at the end prints and writes the verdicts.

    ``marked`` returns the bug and the symptom that a test is marked with; ``expected`` returns
    whether the data expects the symptom with the installed versions. ``version_set`` is the record
    of the matrix row, ``target`` the verdict file, or None to write none. ``suite`` is the folder of all
    tests, and ``bugs`` are the only ones that the row tests (all if empty): a run of anything less is
    partial, and never replaces the verdict file.
    """

    def __init__(
        self,
        config: pytest.Config,
        *,
        marked: Marked,
        expected: Callable[[pytest.Item], bool],
        versions: Mapping[str, str],
        version_set: Mapping[str, Any],
        target: Path | None,
        suite: Path,
        bugs: Collection[str] = (),
    ) -> None:
        self.config = config
        self.marked = marked
        self.expected = expected
        self.versions = versions
        self.version_set = version_set
        self.target = target
        self.suite = suite
        self.bugs = frozenset(bugs)
        self.in_matrix = bool(version_set["requires"])
        self.partial = ""  # why this run is not the whole one, if it is not
        self.file = target
        self.began = time.monotonic()
        self.started = datetime.datetime.now(datetime.UTC)
        self.tests: dict[str, tuple[Bug, list[verdict_file.BugTest]]] = {}
        self.written = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Any:  # a generator: pytest sends the report in
        """Record the phase that decides: the call, or a set-up or tear-down that failed."""
        report: pytest.TestReport = yield
        marked = self.marked(item)
        if marked is not None and (report.when == "call" or not report.passed):
            bug, symptom = marked
            self.tests.setdefault(bug.id, (bug, []))[1].append(
                verdict_file.BugTest(
                    test=item.nodeid,
                    symptom=symptom,
                    upstream=_upstream(item),
                    affected=self.expected(item),
                    outcome=_outcome(report, call),
                    seconds=round(report.duration, 4),
                    evidence=self._evidence(report, call),
                )
            )
        return report

    def _evidence(self, report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
        if isinstance(report.longrepr, tuple):  # a skip: (file, line, reason)
            return report.longrepr[2].removeprefix("Skipped: ")
        if call.excinfo is None:
            return "" if report.passed else str(report.longrepr)
        return verdict_file.evidence(report.longreprtext, Path.home(), self.config.rootpath)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Record slow tests that are left out and that affect these versions: they were not tested."""
        for item in items:
            marked = self.marked(item)
            if marked is None or not item.get_closest_marker("slow") or not self.expected(item):
                continue
            bug, symptom = marked
            if self.bugs and bug.id not in self.bugs:
                continue
            self.tests.setdefault(bug.id, (bug, []))[1].append(
                verdict_file.BugTest(
                    test=item.nodeid,
                    symptom=symptom,
                    upstream=_upstream(item),
                    affected=True,
                    outcome="skipped",
                    seconds=0.0,
                    evidence=SLOW,
                )
            )

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the file; a run of less than the whole goes beside it, an interrupted one nowhere."""
        complete = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if self.target is None or not self.tests or not complete:
            return
        self.partial = self.why_partial(session)
        # The report reads *.json, and so leaves a partial run alone.
        self.file = self.target.with_suffix(".partial") if self.partial else self.target
        verdict_file.write(self.file, self.record())
        self.written = True

    def why_partial(self, session: pytest.Session) -> str:
        """Return what made this run smaller than the whole one of its row; "" for the whole one."""
        option = self.config.option
        # Of the rows of the matrix, only a quick one is whole without its slow tests.
        may_leave_out_slow = not self.in_matrix or "quick" in self.version_set["tags"]
        reasons = {
            "stopped early": bool(session.shouldfail or session.shouldstop),
            "-k": bool(option.keyword),
            "-m": option.markexpr not in (("", "not slow") if may_leave_out_slow else ("",)),
            "--bug": set(option.bug or ()) != self.bugs,
            "--deselect": bool(option.deselect),
            "--ignore": bool(option.ignore or option.ignore_glob),
            "--last-failed": bool(getattr(option, "lf", False)),
            "only some files": any(
                (self.config.invocation_params.dir / argument).resolve() != self.suite.resolve()
                for argument in self.config.args
            ),
        }
        return ", ".join(reason for reason, holds in reasons.items() if holds)

    def record(self) -> dict[str, Any]:
        """Lay out the verdict file."""
        return verdict_file.document(
            self.version_set,
            command=shlex.join(["pytest", *self.config.invocation_params.args]),
            started=self.started,
            seconds=time.monotonic() - self.began,
            versions=self.versions,
            hardware=hardware.as_dict(hardware.probe()),
            bugs=[
                verdict_file.bug_record(bug, self.versions, tests)
                for bug, tests in self.tests.values()
            ],
        )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print one line per bug, and where the file is."""
        if self.tests:
            terminalreporter.section("known bugs")
        for bug, tests in self.tests.values():
            record = verdict_file.bug_record(bug, self.versions, tests)
            red = record["verdict"] in verdict.RED
            terminalreporter.write_line(
                f"{'RED' if red else '   '} {record['verdict']:<16} {bug.id}: {bug.title}"
                + (f" ({record['why']})" if record["why"] else "")
                + (f"; {REPORTED_ONLY}" if bug.reported_only else ""),
                red=red,
            )
            if red:
                terminalreporter.write_line(
                    f"    {verdict.MEANING[record['verdict']]}; see {bug.link}"
                )
        if self.target is not None:
            if self.partial:
                row = self.version_set["id"]
                whole = (
                    f'nox -s "compat({row})"' if self.in_matrix else "pytest compat --verdicts FILE"
                )
                line = (
                    f"partial run ({self.partial}): verdicts: {self.file}; {self.target} is"
                    f" unchanged; next, for the whole of it: {whole}"
                )
            elif self.written:
                line = f"verdicts: {self.target}"
            else:
                line = (
                    "no verdicts written: the run was interrupted or tested no bug"
                    f" ({self.target} is unchanged)"
                )
            terminalreporter.write_line(line)


def _upstream(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("upstream", "stock")) if callspec else "stock"


def _outcome(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    """Return the outcome of a test; pytest reports an xfailed one as skipped, xpassed as failed."""
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed and call.excinfo is None:
        return "xpassed"  # strict: reported as a failure without an exception
    return report.outcome
