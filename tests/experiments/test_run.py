"""A run measures what there is time for, goes on where it ended, and decides nothing where it must not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from experiment_files import MAC, NOISE, SERVER, pretend

from metalassay.claims import evidence, experiments
from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.experiments import processes, run
from metalassay.experiments.rounds import CONTROL
from metalassay.experiments.run import (
    DONE,
    FAILED,
    KEPT,
    NO_TIME,
    NOT_HERE,
    PARTLY,
    Outcome,
    Wanted,
)
from metalassay.machine import conditions

WORKERS = experiments.get("workers")
MIXED = experiments.get("mixed-precision")
PRESSURE = experiments.get("memory-pressure")


class Child:
    """Stands for the process of an experiment: it has so many rounds, in which workers take twice the time."""

    def __init__(self, rounds: int = 99, device: str = "cpu", emulated: bool = False) -> None:
        self.rounds = rounds
        self.about = {"device": device, "emulated": emulated, "threads": 2}
        self.messages: list[Mapping[str, Any]] = []
        self.raises: BaseException | None = None

    def __call__(self, message: str, left: float) -> Iterator[Mapping[str, Any]]:
        wanted = json.loads(message)
        self.messages.append(wanted)
        arms = ("num_workers=0", "num_workers=4")
        what = "milliseconds a pass"
        if wanted["experiment"] == "mixed-precision":
            arms, what = ("float32", "float16"), "milliseconds a step"
        yield {"about": {**self.about, "arms": list(arms)}}
        for number in range(wanted["first"], min(wanted["rounds"], wanted["first"] + self.rounds)):
            base, arm = 10 * NOISE[number], 20 * NOISE[-number]
            yield {"round": {arms[0]: {what: base}, CONTROL: {what: base}, arms[1]: {what: arm}}}
        if self.raises:
            raise self.raises


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    """Replace the process of an experiment, on a Mac."""
    stub = Child()
    monkeypatch.setattr(processes, "lines", stub)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(conditions, "observe", lambda: None)
    monkeypatch.setattr(conditions, "flags", lambda *_: ["on battery"])
    pretend(monkeypatch, MAC)
    return stub


def one(folder: Path, experiment: experiments.Experiment = WORKERS, **change: Any) -> Outcome:
    (outcome,) = run.run(replace(Wanted([experiment], folder, 1200.0), **change))
    return outcome


def test_what_is_measured_is_saved_with_its_conditions_and_decides(
    child: Child, tmp_path: Path
) -> None:
    outcome = one(tmp_path)
    assert outcome.state == DONE
    assert {each.claim: (each.word, each.settled) for each in outcome.decided} == {
        "four-workers-faster": ("refuted", True),
        "zero-workers": ("confirmed", True),
    }
    ([kept], warnings) = evidence.load(tmp_path)
    assert (kept.file, warnings) == (outcome.file, [])
    assert (kept.rounds, kept.threads, kept.marks) == (8, 2, ("on battery",))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json"]  # no journal is left
    assert child.messages[0]["first"] == 0


def test_a_second_run_measures_nothing_again_unless_it_is_asked_to(
    child: Child, tmp_path: Path
) -> None:
    first = one(tmp_path)
    second = one(tmp_path)
    assert (second.state, second.file, second.decided) == (KEPT, first.file, first.decided)
    assert len(child.messages) == 1
    assert one(tmp_path, again=True).state == DONE
    assert len(child.messages) == 2


def test_other_versions_or_another_machine_are_measured_again(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one(tmp_path)
    monkeypatch.setattr(versions, "installed", lambda _: {"torch": "9.9"})
    assert one(tmp_path).state == DONE
    pretend(monkeypatch, replace(MAC, memory_bytes=32 * 2**30))
    assert one(tmp_path).state == DONE


def test_an_experiment_that_is_cut_short_goes_on_where_it_ended(
    child: Child, tmp_path: Path
) -> None:
    child.rounds = 3
    outcome = one(tmp_path)
    assert (outcome.state, outcome.decided) == (PARTLY, ())
    assert outcome.why.startswith("3 of 8 rounds")
    child.rounds = 99
    assert one(tmp_path).state == DONE
    assert [message["first"] for message in child.messages] == [0, 3]


def test_an_interruption_keeps_rounds_and_finished_experiments(
    child: Child, tmp_path: Path
) -> None:
    child.rounds, child.raises = 99, None
    done = one(tmp_path)
    child.rounds, child.raises = 2, KeyboardInterrupt()
    child.about = {**child.about, "device": "mps"}
    with pytest.raises(KeyboardInterrupt):
        one(tmp_path, MIXED)
    child.rounds, child.raises = 99, None
    assert one(tmp_path).file == done.file
    assert one(tmp_path, MIXED).state == DONE
    assert child.messages[-1]["first"] == 2


def test_a_process_that_fails_is_said_to_have_failed(child: Child, tmp_path: Path) -> None:
    child.rounds = 1
    child.raises = processes.ProcessFailedError("it ended with 1", "try again")
    outcome = one(tmp_path)
    assert (outcome.state, outcome.why) == (FAILED, "it ended with 1 (try again)")


@pytest.mark.parametrize(
    ("seconds", "whole", "state"),
    [(2.0, False, NO_TIME), (40.0, False, DONE), (40.0, True, NO_TIME), (110.0, True, DONE)],
)
def test_nothing_begins_that_would_not_end_in_time(
    child: Child, tmp_path: Path, seconds: float, whole: bool, state: str
) -> None:
    """Workers take about 90 seconds: those of a round have to be left, or with ``whole`` all."""
    assert one(tmp_path, seconds=seconds, whole=whole).state == state


def test_what_needs_mps_or_macos_is_not_on_this_machine_and_no_verdict(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    pretend(monkeypatch, SERVER)
    for experiment in (MIXED, PRESSURE):
        outcome = one(tmp_path, experiment)
        assert (outcome.state, outcome.decided) == (NOT_HERE, ())
    assert child.messages == []
    outcome = one(tmp_path)
    assert outcome.state == DONE
    assert not any(each.settled for each in outcome.decided)


def test_mps_that_does_not_work_is_not_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, child: Child, tmp_path: Path
) -> None:
    said = {"impossible": {"why": "mps cannot be used here", "next": "metalassay doctor"}}
    monkeypatch.setattr(processes, "lines", lambda *_: iter([said]))
    outcome = one(tmp_path, MIXED)
    assert (outcome.state, outcome.why) == (NOT_HERE, "mps cannot be used here; metalassay doctor")


def test_an_emulated_device_decides_nothing_and_is_no_earlier_run(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    pretend(monkeypatch, SERVER)
    child.about = {"device": "mps", "emulated": True, "threads": 2}
    outcome = one(tmp_path, MIXED, emulated=True)
    assert (outcome.state, outcome.decided) == (DONE, ())
    assert one(tmp_path, MIXED).state == NOT_HERE


@pytest.mark.parametrize(
    ("printed", "state", "word"),
    [
        ("1 passed in 0.1s", DONE, "confirmed"),
        ("1 failed in 0.1s", DONE, "refuted"),
        ("SKIPPED: not a Mac\n1 skipped in 0.1s", NOT_HERE, ""),
        ("", FAILED, ""),
    ],
)
def test_a_test_decides_by_how_it_ends(
    child: Child,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    printed: str,
    state: str,
    word: str,
) -> None:
    nodes: list[Path] = []

    def tested(node: Path, left: float) -> str:
        nodes.append(node)
        return printed

    monkeypatch.setattr(processes, "tested", tested)
    outcome = one(tmp_path, PRESSURE)
    assert outcome.state == state
    assert [each.word for each in outcome.decided] == [word] * bool(word)
    assert Path(str(nodes[0]).partition("::")[0]).is_file()


def test_a_folder_that_cannot_be_written_is_an_error_of_the_user(
    child: Child, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(UserError, match="name another folder"):
        one(tmp_path / "file" / "x")


def test_progress_is_told_what_begins_and_ends(child: Child, tmp_path: Path) -> None:
    said: list[Any] = []

    class Told(run.Progress):
        def begins(
            self, number: int, of: int, experiment: experiments.Experiment, done: int
        ) -> None:
            said.append((number, of, experiment.name, done))

        def round(self, number: int, of: int) -> None:
            said.append((number, of))

        def ends(self, outcome: Outcome) -> None:
            said.append(outcome.state)

    run.run(Wanted([WORKERS], tmp_path, 1200.0), Told())
    assert said == [(1, 1, "workers", 0), *((n, 8) for n in range(1, 9)), DONE]
