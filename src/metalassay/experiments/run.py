"""Runs experiments one after the other, each in a process of its own, and keeps what they measured.

What a run has measured so far stands in a journal beside its file, round by round, so that an interrupted
experiment goes on where it ended. Imports no torch.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metalassay import files
from metalassay.claims import decide, evidence, experiments
from metalassay.claims.decide import Decided
from metalassay.claims.evidence import Evidence
from metalassay.claims.experiments import Experiment
from metalassay.environment import suites, versions
from metalassay.experiments import processes, rounds
from metalassay.experiments.journal import Journal
from metalassay.fields import one_line
from metalassay.machine import conditions, hardware

DONE, KEPT, PARTLY, NO_TIME, NOT_HERE, FAILED = (
    "measured",
    "measured before",
    "not finished",
    "no time left",
    "not on this machine",
    "failed",
)
_PACKAGES = ("torch", "metalassay")
_START = (
    15.0  # seconds for a process to import torch and to build its arms, of which it needs no more
)


@dataclass(frozen=True)
class Outcome:
    """What became of one experiment: ``state`` is one of the words of this module, ``why`` explains it.

    ``decided`` has what it says of each of its claims; ``file`` is where it is.
    """

    experiment: Experiment
    state: str
    why: str = ""
    decided: tuple[Decided, ...] = ()
    file: str = ""


@dataclass(frozen=True)
class Wanted:
    """What to run: ``experiments`` in this order, within ``seconds``; ``again`` also those that were run before.

    ``whole``: none begins that would not end in time; otherwise one does if a round of it would. ``emulated``: an mps that is emulated on the CPU stands for one, and nothing is decided.
    """

    experiments: Sequence[Experiment]
    folder: Path
    seconds: float
    again: bool = False
    emulated: bool = False
    whole: bool = False


class Progress:
    """What somebody who waits is told; this one says nothing."""

    def begins(self, number: int, of: int, experiment: Experiment, done: int) -> None:
        """An experiment begins, ``done`` of its rounds are there already."""

    def round(self, number: int, of: int) -> None:
        """A round has ended."""

    def ends(self, outcome: Outcome) -> None:
        """An experiment has ended."""


def run(wanted: Wanted, progress: Progress | None = None) -> list[Outcome]:
    """Run the experiments that the time suffices for; return what became of each.

    An experiment that cannot run here is reported as such and decides nothing. Raises ``UserError`` where
    the folder cannot be written, and ``KeyboardInterrupt`` as it comes: what was measured is kept.
    """
    progress = progress or Progress()
    end = time.monotonic() + wanted.seconds
    before = _kept(wanted.folder)
    outcomes = []
    for number, experiment in enumerate(wanted.experiments, 1):
        old = None if wanted.again or wanted.emulated else _find(before, experiment)
        if old is not None:
            outcome = Outcome(experiment, KEPT, "", _decided(experiment, old), old.file)
        elif (reason := _unable(experiment, wanted.emulated)) is not None:
            outcome = Outcome(experiment, NOT_HERE, reason)
        else:
            outcome = _one(experiment, wanted, end, progress, (number, len(wanted.experiments)))
        progress.ends(outcome)
        outcomes.append(outcome)
    return outcomes


def _kept(folder: Path) -> list[Evidence]:
    return evidence.load(folder)[0]


def _find(runs: Sequence[Evidence], experiment: Experiment) -> Evidence | None:
    """Return an earlier run on this machine with these versions."""
    machine, present = _machine(), versions.installed(_PACKAGES)
    for run in runs:
        if (
            run.experiment == experiment.name
            and not run.emulated
            and hardware.identity(run.machine) == hardware.identity(machine)
            and all(run.versions.get(name) == present.get(name) for name in _PACKAGES)
        ):
            return run
    return None


def _machine() -> hardware.Hardware:
    return hardware.probe()


def _decided(experiment: Experiment, run: Evidence) -> tuple[Decided, ...]:
    if run.emulated:
        return ()
    table = experiments.decisions()
    return tuple(
        decide.judge(table[claim], run) for claim in experiments.claims_of(experiment.name)
    )


def _unable(experiment: Experiment, emulated: bool) -> str | None:
    """Return why an experiment cannot run here, as far as that shows without a process; None if it may."""
    if experiment.device == "system" and sys.platform != "darwin":
        return "it asks macOS"
    if experiment.device == "mps" and sys.platform != "darwin" and not emulated:
        return "it needs MPS, which is on Macs alone"
    if experiment.test:
        if importlib.util.find_spec("pytest") is None:
            return "it needs pytest: pip install 'metalassay[bench]'"
    elif importlib.util.find_spec("torch") is None:
        return "it needs torch: pip install 'metalassay[bench]'"
    return None


def _one(
    experiment: Experiment,
    wanted: Wanted,
    end: float,
    progress: Progress,
    place: tuple[int, int],
) -> Outcome:
    if experiment.test:
        progress.begins(*place, experiment, 0)
        return _test(experiment, wanted, end)
    journal = _journal(wanted, experiment)
    left = end - time.monotonic()
    missing = experiment.rounds - len(journal.rounds)
    needed = _START + experiment.seconds * missing / experiment.rounds
    least = needed if wanted.whole else _START + experiment.seconds / experiment.rounds
    if left < least:
        return Outcome(experiment, NO_TIME, f"about {needed:.0f} s are needed")
    progress.begins(*place, experiment, len(journal.rounds))
    started, clock = datetime.now(UTC), time.monotonic()
    first = conditions.observe()
    try:
        for line in processes.lines(_message(experiment, wanted, len(journal.rounds), left), left):
            if "impossible" in line:
                why = f"{line['impossible']['why']}; {line['impossible']['next']}"
                return Outcome(experiment, NOT_HERE, one_line(why))
            if "about" in line:
                journal.begin(line["about"])
            if "round" in line:
                journal.add(line["round"])
                progress.round(len(journal.rounds), experiment.rounds)
    except processes.ProcessFailedError as error:
        return Outcome(experiment, FAILED, one_line(error))
    if len(journal.rounds) < experiment.rounds:
        why = f"{len(journal.rounds)} of {experiment.rounds} rounds; the same command goes on"
        return Outcome(experiment, PARTLY, why)
    seconds = time.monotonic() - clock
    document = evidence.document(
        experiment=experiment.name,
        device=journal.about["device"],
        emulated=journal.about["emulated"],
        threads=journal.about["threads"],
        figures=rounds.compared(journal.about["arms"], journal.rounds),
        started=started.isoformat(timespec="seconds"),
        seconds=seconds,
        versions=versions.installed(_PACKAGES),
        machine=_machine(),
        marks=conditions.flags(first, conditions.observe(), seconds),
    )
    outcome = _save(experiment, wanted, document)
    journal.remove()
    return outcome


def _journal(wanted: Wanted, experiment: Experiment) -> Journal:
    name = f"{experiment.name}{'-emulated' if wanted.emulated else ''}"
    machine = hardware.as_dict(hardware.identity(_machine()))
    under = {"machine": machine, "versions": versions.installed(_PACKAGES)}
    return Journal(wanted.folder / f"{name}.rounds", json.dumps(under, sort_keys=True))


def _save(experiment: Experiment, wanted: Wanted, document: Mapping[str, Any]) -> Outcome:
    """Write a run, read it back, and return what it decides."""
    stamp = re.sub(r"\D", "", document["started"])[:14]
    path = wanted.folder / f"{experiment.name}-{document['device']}-{stamp}.json"
    unwritten = files.write_or_error(
        path, json.dumps(document, indent=1) + "\n", "name another folder with --folder"
    )
    if unwritten is not None:
        raise unwritten
    (run,) = (one for one in _kept(wanted.folder) if one.file == str(path))
    return Outcome(experiment, DONE, "", _decided(experiment, run), str(path))


def _message(experiment: Experiment, wanted: Wanted, first: int, left: float) -> str:
    return json.dumps(
        {
            "experiment": experiment.name,
            "device": experiment.device,
            "first": first,
            "rounds": experiment.rounds,
            "seconds": left,
            "emulated": wanted.emulated,
        }
    )


def _test(experiment: Experiment, wanted: Wanted, end: float) -> Outcome:
    """Run the test of the compatibility suite that decides a claim."""
    left = end - time.monotonic()
    if left < experiment.seconds:
        return Outcome(experiment, NO_TIME, f"about {experiment.seconds:.0f} s are needed")
    started, clock = datetime.now(UTC), time.monotonic()
    first = conditions.observe()
    printed = processes.tested(suites.folder(suites.COMPAT) / experiment.test, left)
    ended = re.search(r"(\d+) (passed|failed|skipped)", printed)
    if ended is None or ended[2] == "skipped":
        last = (printed.strip() or "it printed nothing").splitlines()[-1]
        return Outcome(experiment, NOT_HERE if ended else FAILED, one_line(last))
    seconds = time.monotonic() - clock
    document = evidence.document(
        experiment=experiment.name,
        device=experiment.device,
        emulated=False,
        threads=None,
        figures=(),
        started=started.isoformat(timespec="seconds"),
        seconds=seconds,
        versions=versions.installed(_PACKAGES),
        machine=_machine(),
        marks=conditions.flags(first, conditions.observe(), seconds),
        outcome=ended[2],
    )
    return _save(experiment, wanted, document)
