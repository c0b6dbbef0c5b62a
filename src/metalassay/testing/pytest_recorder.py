"""The pytest plugin behind `pytest compat`: collects outcomes, then prints and writes the verdicts."""

from __future__ import annotations

import datetime
import gc
import os
import re
import shlex
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from metalassay import bugs
from metalassay.bugs import REPORTED_ONLY, Bug, verdict
from metalassay.environment import versions as installed
from metalassay.machine import hardware
from metalassay.results import journal, verdict_file
from metalassay.testing import parent_watch

# The options whose values are looked at where they count, and those that change no outcome.
_WITH_A_VALUE = (
    "--set",
    "--bug",
    "-m",
    "-k",
    "--tb",
    "--color",
    "--maxfail",
    "--deselect",
    "--ignore",
)
_HARMLESS = re.compile(
    r"-[qvxsl]+|-r\w+|-p?no:cacheprovider|--(?:tb|color|capture|maxfail|durations|durations-min)=\S+"
    r"|--(?:set|bug|deselect|ignore|ignore-glob)=.+|--(?:exitfirst|verbose|quiet|showlocals|no-header|no-summary)"
    r"|--(?:lf|last-failed|ff|failed-first)"
    # what `metalassay check` adds, whose settings are our own
    r"|--(?:rootdir|basetemp)=.+|--config-file=.*/compat/check\.ini"
)


def _is_harmless(option: str) -> bool:
    return _HARMLESS.fullmatch(option) is not None


Marked = Callable[[pytest.Item], "tuple[Bug, str | None] | None"]


class Recorder:
    """Collects the outcome of each marked test; at the end prints and writes the verdicts.

    ``marked`` returns the bug and the symptom that a test is marked with; ``expected`` returns
    whether the data expects the symptom with the installed versions. ``version_set`` is the record
    of the matrix row, ``target`` the verdict file, or None to write none. ``suite`` is the folder of all
    tests, and ``only`` are the only bugs that the row tests (all if empty), ``marks`` what the row gives to -m: a run of
    anything less is partial, and never replaces the verdict file. ``diary`` is the journal (``results.journal``) of a run
    that a runner started, or None: what it has is not run again.
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
        only: Collection[str] = (),
        marks: str = "",
        diary: Path | None = None,
    ) -> None:
        self.config = config
        self.marked = marked
        self.expected = expected
        self.versions = versions
        self.version_set = version_set
        self.target = target
        self.suite = suite
        self.only = frozenset(only)
        self.marks = marks
        self.diary = diary
        self.before = journal.Journal() if diary is None else journal.read(diary)
        self.in_matrix = bool(version_set["requires"])
        self.partial = ""  # why this run is not the whole one, if it is not
        self.file = target
        self.began = time.monotonic()
        self.started = datetime.datetime.now(datetime.UTC)
        self.tests: dict[str, tuple[Bug, list[verdict_file.BugTest]]] = {}
        self.failures = list(self.before.failures)
        self.deselected = 0
        self.written = False
        self.ran = bool(self.before.over)  # whether any test was run, and not only collected
        for bug_id, test in self.before.runs:
            self._add(bugs.get(bug_id), test)
        if diary is not None:
            parent_watch.end_with_parent()

    def _add(self, bug: Bug, test: verdict_file.BugTest) -> None:
        self.tests.setdefault(bug.id, (bug, []))[1].append(test)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what an earlier process of this run has done."""
        if self.diary is not None:
            journal.collected(self.diary, len(items))
        items[:] = [item for item in items if item.nodeid not in self.before.over]

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Any:  # a generator
        """Keep the garbage collector away from the modules: they stay until the process ends."""
        collects = gc.isenabled()
        gc.disable()
        try:
            return (yield)
        finally:
            gc.freeze()
            if collects:
                gc.enable()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:  # a generator
        """Note in the journal that a test begins, and what it showed when it ends."""
        if self.diary is None:
            return (yield)
        marked = self.marked(item)
        bug = marked[0].id if marked else None
        about = {
            "symptom": marked[1] if marked else None,
            "upstream": _upstream(item),
            "affected": self.expected(item),
        }
        journal.begins(self.diary, item.nodeid, bug, about)
        result = yield
        runs = self.tests[bug][1] if bug in self.tests else []
        journal.ends(
            self.diary,
            item.nodeid,
            bug,
            [run for run in runs if run.test == item.nodeid],
            [failure for failure in self.failures if failure.test == item.nodeid],
        )
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Any:  # a generator: pytest sends the report in
        """Record the phase that decides: the call, or a set-up or tear-down that failed."""
        self.ran = True
        style = self.config.option.tbstyle
        if item.get_closest_marker("xfail") and style == "auto":
            # Nobody reads the traceback of an expected failure, and pytest parses whole modules for it.
            self.config.option.tbstyle = "native"
        try:
            report: pytest.TestReport = yield
        finally:
            self.config.option.tbstyle = style
        marked = self.marked(item)
        if marked is None and report.failed:
            self.failures.append(
                verdict_file.OtherFailure(
                    item.nodeid, _outcome(report, call), self._evidence(report, call)
                )
            )
        if marked is not None and (report.when == "call" or not report.passed):
            bug, symptom = marked
            self._add(
                bug,
                verdict_file.BugTest(
                    test=item.nodeid,
                    symptom=symptom,
                    upstream=_upstream(item),
                    affected=self.expected(item),
                    outcome=_refuted(bug, symptom, _outcome(report, call)),
                    seconds=round(report.duration, 4),
                    evidence=self._evidence(report, call),
                ),
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
        self.deselected += len(items)
        for item in items:
            marked = self.marked(item)
            if marked is None or not item.get_closest_marker("slow") or not self.expected(item):
                continue
            bug, symptom = marked
            wanted = self.only or frozenset(self.config.option.bug or ())
            if wanted and bug.id not in wanted:
                continue
            self._add(
                bug,
                verdict_file.BugTest(
                    test=item.nodeid,
                    symptom=symptom,
                    upstream=_upstream(item),
                    affected=True,
                    outcome="skipped",
                    seconds=0.0,
                    evidence=verdict_file.SLOW,
                ),
            )

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the file; a run of less than the whole goes beside it, an interrupted one nowhere."""
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.before.over:
            # An earlier process of this run has done all of them.
            session.exitstatus = exitstatus = pytest.ExitCode.OK
        if exitstatus == pytest.ExitCode.OK and self._earlier_failure():
            session.exitstatus = exitstatus = pytest.ExitCode.TESTS_FAILED
        complete = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if self.target is None or not self.tests or not self.ran or not complete:
            return
        self.partial = self.why_partial(session)
        # The report reads both; a partial run never replaces the whole one.
        self.file = verdict_file.partial_of(self.target) if self.partial else self.target
        verdict_file.write(self.file, self.record())
        self.written = True
        if self.diary is not None:
            journal.complete(self.diary)

    def _earlier_failure(self) -> bool:
        """Return whether a test that an earlier process of this run did is a reason for red."""
        return bool(self.before.failures) or any(
            run.outcome in verdict_file.FAILURES for _, run in self.before.runs
        )

    def why_partial(self, session: pytest.Session) -> str:
        """Return what made this run smaller than the whole one of its row; "" for the whole one."""
        option = self.config.option
        # Of the rows of the matrix, only a quick one is whole without its slow tests.
        marks = (self.marks,) if self.in_matrix else verdict_file.QUICK_MARKS
        reasons = {
            "stopped early": bool(session.shouldfail or session.shouldstop),
            "-k": bool(option.keyword),
            "-m": option.markexpr not in ("", *marks),
            "--bug": set(option.bug or ()) != self.only,
            "--deselect": bool(option.deselect),
            "--ignore": bool(option.ignore or option.ignore_glob),
            "--last-failed": bool(getattr(option, "lf", False)),
            "other options": not all(map(_is_harmless, self._options())),
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
            command=self.before.command or shlex.join(["pytest", *self._arguments()]),
            started=self.started,
            seconds=time.monotonic() - self.began,
            versions=self.versions,
            hardware=hardware.as_dict(hardware.probe()),
            origin=self._origin(),
            selection=verdict_file.Selection(
                tuple(self._arguments()), self.deselected, self.partial
            ),
            other_failures=sorted(self.failures, key=lambda failure: failure.test),
            bugs=[verdict_file.bug_record(*each) for each in self._judged()],
        )

    def _arguments(self) -> list[str]:
        """Return the arguments of pytest without those that only say where files go."""
        arguments: list[str] = []
        given = iter(self.config.invocation_params.args)
        for argument in given:
            if argument in ("--verdicts", "--journal"):
                next(given, None)
            elif not argument.startswith(("--verdicts=", "--journal=")):
                arguments.append(argument)
        return arguments

    def _options(self) -> list[str]:
        """Return the options that this suite does not know: those of pytest, from wherever they come."""
        given = iter([*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *self._arguments()])
        options = []
        for argument in given:
            if argument in _WITH_A_VALUE:
                next(given, None)
            elif argument == "-p":
                options.append(f"-p{next(given, '')}")
            elif argument.startswith("-"):
                options.append(argument)
        return options

    def _origin(self) -> verdict_file.Origin:
        if self.diary is not None:
            return self.before.origin
        return verdict_file.Origin(data=bugs.revision(), interpreter=installed.interpreter())

    def _judged(self) -> list[tuple[Bug, Mapping[str, str], list[verdict_file.BugTest]]]:
        return [(bug, self.versions, tests) for bug, tests in self.tests.values()]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print one line per bug, and where the file is."""
        if self.tests:
            terminalreporter.section("known bugs")
        for bug, versions, tests in self._judged():
            record = verdict_file.bug_record(bug, versions, tests)
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
        if line := verdict_file.settled_line(
            verdict_file.settled(verdict_file.bug_record(*each) for each in self._judged())
        ):
            terminalreporter.write_line(
                line + (f"; next: metalassay submit {self.file}" if self.written else "")
            )
        for failure in self.failures:
            terminalreporter.write_line(
                f"RED {failure.outcome:<16} {failure.test}: a test without a known bug", red=True
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


def _refuted(bug: Bug, symptom: str | None, outcome: str) -> str:
    """Return the outcome, "refuted" where a bug that only a report knows did not show, and always should."""
    if outcome == "unseen" and symptom is not None and not bug.symptom(symptom).intermittent:
        return "refuted"
    return outcome


def _outcome(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    """Return the outcome of a test; pytest reports an xfailed one as skipped, xpassed as failed."""
    if hasattr(report, "wasxfail"):
        # Not strict, and passed: the symptom does not show every time.
        return "xfailed" if report.skipped else "unseen"
    if report.failed and call.excinfo is None:
        return "xpassed"  # strict: reported as a failure without an exception
    return report.outcome
