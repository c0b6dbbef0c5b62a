"""A whole run of `metalassay bench`: devices, benchmarks, largest batches, the files, and what to print."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from metalassay import report
from metalassay.bench import (
    acceptance,
    devices,
    largest_batch,
    profiles,
    result_file,
    suite,
    summary,
)
from metalassay.bench.acceptance import Problem
from metalassay.bench.largest_batch import SECONDS as BATCH_SECONDS
from metalassay.bench.profiles import Profiled
from metalassay.bench.suite import Step
from metalassay.environment import project_home
from metalassay.errors import UserError
from metalassay.machine import conditions, hardware
from metalassay.matrix.progress import Progress, as_time
from metalassay.matrix.run_row import Outcome
from metalassay.report.model import REHEARSAL, Table, counted
from metalassay.report.render import card, terminal
from metalassay.results import load

QUICK_SECONDS, FULL_SECONDS = 5.0, 6.0
"""Seconds of timed rounds of each workload, by default and with --full."""
_BESIDE = (
    6.0  # seconds that a workload takes besides: it is counted, compared with the CPU and warmed up
)
_MOST_PROBLEMS = 6
_BATCHES = (("transit-cnn", "train"), ("gpt-small", "train"))


@dataclass(frozen=True)
class Wanted:
    """What was asked for: ``seconds`` of timed rounds per workload, None for the default.

    ``profile`` is how many steps of each workload to profile after the measuring, 0 for none.
    """

    device: str = "auto"
    folder: Path = Path()
    full: bool = False
    seconds: float | None = None
    emulated: bool = False
    profile: int = 0


_NO_TABLE = Table("", (), (), ())


@dataclass(frozen=True)
class Finished:
    """What a run left. Where ``proof`` says which check of the self-test failed, there is nothing else."""

    proof: str = ""
    table: Table = _NO_TABLE
    rows: tuple[summary.Row, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    file: Path = Path()
    card: Path = Path()
    batch_files: tuple[Path, ...] = ()
    profiles: tuple[Profiled, ...] = ()
    since: str = ""
    rehearsal: str = ""
    problems: tuple[Problem, ...] = ()
    issue: str | None = None
    roofs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unusable: str = ""
    seconds: float = 0.0
    unwritten: UserError | None = None
    """The error where the files could not all be written, for after the answer; then none is named."""

    @property
    def profile_folder(self) -> Path:
        """Where the profiles of this run are, if there are any."""
        return self.file.with_name(f"{self.file.stem}-profiles")


def run(wanted: Wanted, progress: TextIO | None = None) -> Finished:
    """Measure, and write the files. ``progress`` is where to say how far it is, None to say nothing.

    Raises ``UserError`` where nothing can be measured, or, before anything is, nothing could be written.
    """
    began = time.monotonic()
    result_file.prepare(wanted.folder)
    machine = hardware.probe()
    if progress is not None:
        now = conditions.observe()
        _say(headline(machine, now), progress)
        for flag in conditions.flags(now, now, seconds=0):
            _say(f"doubtful from the start: {flag}", progress)
    found = devices.find(wanted.device, emulated=wanted.emulated)
    if progress is not None and found.unusable:
        _say(found.unusable, progress)
    workloads = suite.FULL if wanted.full else suite.QUICK
    seconds = wanted.seconds or (FULL_SECONDS if wanted.full else QUICK_SECONDS)
    searches = _BATCHES if wanted.full and not wanted.emulated else ()
    labels = [largest_batch.label(found.names[0], *each) for each in searches]
    steps = suite.steps(found.names, workloads)
    # An emulated device has no profile: it would be one of the emulator.
    to_profile = steps if wanted.profile and not wanted.emulated else []
    others = dict.fromkeys(labels, BATCH_SECONDS)
    others |= dict.fromkeys(map(profiles.label, to_profile), profiles.SECONDS)
    shown = _Shown(steps, seconds, others, progress)
    documents: list[dict[str, Any]] = []
    failures: dict[Step, str] = {}
    batches: list[dict[str, Any]] = []
    profiled: list[Profiled] = []
    try:
        for device in found.names:
            ran = suite.run(device, workloads, seconds, shown, emulated=wanted.emulated)
            if ran.document is None:
                return Finished(proof=f"{device}: {ran.proof}")
            documents.append(ran.document)
            failures.update(ran.failures)
        for label, (workload, mode) in zip(labels, searches, strict=True):
            shown.begins(label)
            started = time.monotonic()
            batches.append(largest_batch.search(workload, mode, found.names[0]))
            shown.ends(label, "measured", time.monotonic() - started)
        finished = _finish(wanted.folder, documents, failures, batches, found.unusable, began)
        # What was measured is written by now: a profile that is interrupted costs none of it.
        for step in to_profile if finished.unwritten is None else ():
            shown.begins(profiles.label(step))
            started = time.monotonic()
            profiled.append(profiles.run(step, wanted.profile, finished.profile_folder, shown.tick))
            outcome = f"failed: {profiled[-1].why}" if profiled[-1].why else "profiled"
            shown.ends(profiles.label(step), outcome, time.monotonic() - started)
    finally:
        shown.close()
    return replace(finished, profiles=tuple(profiled), seconds=time.monotonic() - began)


def _say(text: str, stream: TextIO) -> None:
    print(terminal.filled(text, _width(), "  "), file=stream, flush=True)


def _width() -> int:
    return max(terminal.NARROWEST, shutil.get_terminal_size((80, 24)).columns)


def headline(machine: hardware.Hardware, now: conditions.Conditions) -> str:
    """Return the machine, its power mode and its heat in one line; what it does not report is named."""
    power = "on battery" if now.battery is not None else now.power_mode
    heat = now.thermal_pressure
    if heat is None and now.temperature is not None:
        heat = f"{now.temperature:.0f} °C"
    parts = [f"power mode {power or 'not reported'}", f"heat {heat or 'not reported'}"]
    if now.battery is not None:
        parts[0] = f"on battery, power mode {now.power_mode or 'not reported'}"
    return f"{hardware.describe(machine)}; {', '.join(parts)}"


class _Shown:
    """Shows the steps of a run, with the time left by those that have ended."""

    def __init__(
        self,
        steps: list[Step],
        seconds: float,
        others: Mapping[str, float],
        stream: TextIO | None,
    ) -> None:
        self.steps = [str(step) for step in steps]
        self.took: list[float] = []
        known = dict.fromkeys(self.steps, seconds + _BESIDE)
        known |= others
        if stream is None:
            self.progress = None
            return
        self.progress = Progress(list(known), known, 1, stream, width=_width())
        self.progress.say(
            f"{counted(len(known), 'measurement')}, about {as_time(sum(known.values()))};"
            " first the clock is tested"
        )

    def begins(self, what: str) -> None:
        if self.progress is not None:
            self.progress.begins(what)

    def ends(self, what: str, outcome: str, seconds: float) -> None:
        if self.progress is None:
            return
        if what in self.steps:
            self.took.append(seconds)
            mean = sum(self.took) / len(self.took)
            self.progress.known = {**self.progress.known, **dict.fromkeys(self.steps, mean)}
        state, _, why = outcome.partition(": ")
        self.progress.ends(Outcome(what, state, why, seconds))

    def tick(self) -> None:
        if self.progress is not None:
            self.progress.tick()

    def close(self) -> None:
        if self.progress is not None:
            self.progress.close()


def _finish(
    folder: Path,
    documents: list[dict[str, Any]],
    failures: Mapping[Step, str],
    batches: list[dict[str, Any]],
    unusable: str,
    began: float,
) -> Finished:
    """Write the files of a run and return what to print."""
    document = result_file.merge(documents)
    text = result_file.strip(document)
    emulated = any(one["extra_info"]["emulated"] for one in document["benchmarks"])
    machine = hardware.probe()
    day = datetime.now(UTC)
    name = result_file.free_name(folder, result_file.stem(machine, day, emulated=emulated))
    last = result_file.earlier(folder, machine, day)
    files = {f"{name}.json": text}
    for each in batches:
        files[f"{name}-{each['workload']}-{each['mode']}-batch.json"] = result_file.strip(each)
    # Read from files of our own: the answer must not depend on whether the folder can still be written.
    with tempfile.TemporaryDirectory(prefix="metalassay-bench-") as own:
        for each_name, content_of in files.items():
            Path(own, each_name).write_text(content_of, "utf-8")
        loaded = load.load([Path(own, each_name) for each_name in files])
    if loaded.warnings:
        raise UserError(f"the result cannot be read: {loaded.warnings[0]}", "metalassay selftest")
    content = report.build(loaded)
    unwritten = None
    try:
        for each_name, content_of in (*files.items(), (f"{name}.svg", card.render(content))):
            result_file.write(folder / each_name, content_of)
    except UserError as error:
        unwritten = error
    file, *paths = (folder / each_name for each_name in files)
    rows = summary.rows(loaded.measurements, last)
    since = f"{max(one.when for one in last):%Y-%m-%d %H:%M} UTC" if last else ""
    measured = {(r.one.device, r.one.workload, r.one.batch_size, r.one.mode) for r in rows}
    failed = tuple((str(step), why) for step, why in failures.items())
    # A device with wrong numbers has its row, which says so.
    without = [
        (str(step), why)
        for step, why in failures.items()
        if (step.device, step.workload, step.batch, step.mode) not in measured
    ]
    roofs = (document["metalassay"]["selftest"] or {}).get("roofs", {})
    issues = project_home.issue_url(project_home.project_urls())
    return Finished(
        table=summary.table(rows, roofs, failed=without, batches=loaded.batches),
        rows=tuple(rows),
        failed=failed,
        file=file,
        card=folder / f"{name}.svg",
        batch_files=tuple(paths),
        since=since,
        rehearsal=content.rehearsal,
        problems=tuple(acceptance.check(text.encode())),
        issue=None
        if issues is None or emulated or unwritten
        else _issue(issues, machine, rows, file),
        roofs=roofs,
        unusable=unusable,
        seconds=time.monotonic() - began,
        unwritten=unwritten,
    )


def _issue(issues: str, machine: hardware.Hardware, rows: list[summary.Row], file: Path) -> str:
    versions = rows[0].one.versions if rows else {}
    about = ", ".join(
        f"{name} {versions[name]}" for name in ("torch", "python", "metalassay") if name in versions
    )
    body = f"{hardware.describe(machine)}; {about}\n\nPlease attach {file.name} here by hand.\n"
    return project_home.new_issue_url(issues, f"Results: {hardware.describe(machine)}", body)


def last_lines(finished: Finished) -> list[str]:
    """Return what a run ends with: its files, whether they would be accepted, and how to contribute them."""
    lines = [finished.unusable] if finished.unusable else []
    lines += [f"FAILED: {label}: {why}" for label, why in finished.failed]
    if finished.unwritten is not None:  # which ends the command, and names the file
        return lines
    lines += [f"{finished.file}", f"{finished.card}", *map(str, finished.batch_files)]
    if any(each.files for each in finished.profiles):
        here = finished.profile_folder
        lines.append(f"{here}{os.sep} (for plots: metalassay report --log {here})")
    lines += [f"no profile of {each.step}: {each.why}" for each in finished.profiles if each.why]
    errors = [one for one in finished.problems if not one.warning]
    if finished.rehearsal:
        return [*lines, f"A {REHEARSAL}: this file is for trying the pages, not for contributing."]
    if errors:
        lines.append(
            f"`metalassay results check` finds {counted(len(errors), 'problem')} in the file:"
        )
        reasons = Counter(one.what for one in errors)
        lines += [
            f"  {what}{f' ({times} times)' if times > 1 else ''}"
            for what, times in list(reasons.items())[:_MOST_PROBLEMS]
        ]
        if more := sum([*reasons.values()][_MOST_PROBLEMS:]):
            lines.append(f"  and {more} more")
        return [*lines, "Remove the cause and run again to contribute. Nothing was sent."]
    place = project_home.where_to_attach(project_home.project_urls())
    if finished.issue:
        lines.append(
            "To contribute it, open this page and attach the .json by hand; nothing was sent:"
        )
        return [*lines, finished.issue]
    return [*lines, f"To contribute it, attach the .json to {place}. Nothing was sent."]


def as_dict(finished: Finished) -> dict[str, Any]:
    """Return the end of a run for a program."""
    return {
        "file": None if finished.unwritten else str(finished.file),
        "card": None if finished.unwritten else str(finished.card),
        "batch_files": [] if finished.unwritten else list(map(str, finished.batch_files)),
        "profiles": [
            {"what": str(each.step), "files": list(map(str, each.files)), "why": each.why or None}
            for each in finished.profiles
        ],
        "machine": hardware.as_dict(hardware.probe()),
        "seconds": round(finished.seconds, 1),
        "rehearsal": bool(finished.rehearsal),
        "unusable": finished.unusable or None,
        "since": finished.since or None,
        "results": [_row_as_dict(row) for row in finished.rows],
        "measured_peaks": finished.roofs,
        "published": [
            {
                "chip": one.chip, "gpu_cores": one.gpu_cores, "what": one.what, "on": one.on,
                "value": one.text(), "with": one.tool, "how": one.how, "source": one.source,
            }
            for device in finished.roofs
            for chip in summary.CHIPS
            for what in ("arithmetic", "bandwidth")
            for one in summary.figures_of(chip, what, device)
        ],
        "failed": [{"what": label, "why": why} for label, why in finished.failed],
        "problems": [{"field": one.where, "problem": one.what} for one in finished.problems if not one.warning],
        "warnings": [{"field": one.where, "problem": one.what} for one in finished.problems if one.warning],
        "issue": finished.issue,
    }  # fmt: skip


def _row_as_dict(row: summary.Row) -> dict[str, Any]:
    one, rate = row.one, row.computed.rate
    figures = {"median": rate.median, "slow": rate.slow, "fast": rate.fast}
    return {
        "device": one.device,
        "workload": one.workload,
        "mode": one.mode,
        "batch": one.batch_size,
        "unit": f"{one.unit}/s",
        # A refused time has no throughput.
        **(dict.fromkeys(figures) if row.computed.refused else figures),
        "refused": row.computed.refused,
        "wrong_numbers": one.parity or None,
        "over_last": row.ratio,
        "change": summary.change(row) if row.ratio is not None or row.why else None,
    }
