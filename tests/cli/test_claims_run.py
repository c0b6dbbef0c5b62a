"""`metalassay claims run`: what it runs, what it says of it, and what it keeps when it is interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from experiment_files import MAC, SERVER, figures, pretend, ran

from metalassay.claims import decide, experiments
from metalassay.claims.experiments import Experiment
from metalassay.cli.main import main
from metalassay.experiments import run
from metalassay.experiments.run import DONE, FAILED, NOT_HERE, Outcome, Progress, Wanted

ARMS = figures("num_workers=0", "num_workers=4", "milliseconds a pass", 2.0)


class Runner:
    """Stands for the run: it finds workers slower, and all else not on this machine."""

    def __init__(self, machine: Any = MAC) -> None:
        self.machine = machine
        self.wanted: Wanted | None = None
        self.interrupted = False

    def __call__(self, wanted: Wanted, progress: Progress) -> list[Outcome]:
        self.wanted = wanted
        outcomes = [self.outcome(experiment) for experiment in wanted.experiments]
        for number, outcome in enumerate(outcomes, 1):
            progress.begins(number, len(outcomes), outcome.experiment, 2)
            progress.round(1, 8)
            progress.ends(outcome)
            if self.interrupted:
                raise KeyboardInterrupt
        return outcomes

    def outcome(self, experiment: Experiment) -> Outcome:
        if experiment.name != "workers":
            return Outcome(experiment, NOT_HERE, "it needs MPS")
        found = ran("workers", ARMS, device="cpu", machine=self.machine)
        table = experiments.decisions()
        claims = experiments.claims_of("workers")
        judged = tuple(decide.judge(table[claim], found) for claim in claims)
        return Outcome(experiment, DONE, "", judged, "reports/claims/workers.json")


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runner:
    """Replace the run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    stub = Runner()
    monkeypatch.setattr(run, "run", stub)
    return stub


def test_it_runs_the_experiments_of_claims_once_each(
    runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["zero-workers", "four-workers-faster", "layer-norm"]
    assert main(["claims", "run", *names, "--minutes", "5", "--folder", "x"]) == 0
    assert runner.wanted is not None
    assert [one.name for one in runner.wanted.experiments] == ["workers", "layer-norm"]
    assert (runner.wanted.seconds, runner.wanted.folder) == (300.0, Path("x"))
    printed = capsys.readouterr()
    assert printed.out == (
        "workers: measured\n"
        "  four-workers-faster: refuted, decided on this Mac\n"
        "  zero-workers: confirmed, decided on this Mac\n"
        "layer-norm: not on this machine: it needs MPS\n"
        "2 claims decided on this Mac: metalassay claims\n"
        "to share it: metalassay submit reports/claims/workers.json\n"
    )
    assert printed.err.startswith("1 of 2  workers: Do DataLoader workers load faster than none?")
    assert "2 of 8 rounds are there" in printed.err


def test_all_runs_whole_experiments_in_twenty_minutes(runner: Runner) -> None:
    assert main(["claims", "run", "--all", "--quiet"]) == 0
    assert runner.wanted is not None
    assert tuple(runner.wanted.experiments) == experiments.load()
    assert (runner.wanted.seconds, runner.wanted.whole) == (1200.0, True)


def test_elsewhere_nothing_is_called_decided(
    runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    runner.machine = SERVER
    assert main(["claims", "run", "workers", "--quiet"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "zero-workers: open; here it would be confirmed; this is not a Mac" in printed.out
    assert printed.out.endswith("no claim is decided by this run\n")
    assert "decided on this Mac" not in printed.out


def test_json_has_every_experiment_with_its_claims(
    runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["claims", "run", "workers", "layer-norm", "--json"]) == 0
    workers, norm = json.loads(capsys.readouterr().out)["experiments"]
    assert [one["verdict"] for one in workers["claims"]] == ["refuted", "confirmed"]
    assert all(one["decided"] for one in workers["claims"])
    assert workers["claims"][0]["comparisons"][0]["word"] == "more"
    assert (norm["state"], norm["claims"]) == ("not on this machine", [])


def test_a_failed_experiment_is_exit_code_1(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "outcome", lambda one: Outcome(one, FAILED, "it ended with 1"))
    assert main(["claims", "run", "workers"]) == 1


def test_an_interruption_says_that_everything_is_kept(
    runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    runner.interrupted = True
    assert main(["claims", "run", "workers", "layer-norm"]) == 130
    printed = capsys.readouterr()
    assert "zero-workers: confirmed" in printed.out
    assert "what was measured is kept; the same command goes on" in printed.err


def test_a_dry_run_names_everything_and_runs_nothing(
    runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["claims", "run", "--all", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert all(claim in printed for claim in experiments.decisions())
    assert runner.wanted is None
    assert main(["claims", "run", "workers", "--dry-run", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["experiments"]
    assert row["claims"] == ["four-workers-faster", "zero-workers"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "metalassay claims run --all"),
        (["--all", "workers"], "some are named"),
        (["bandwidth-utilisation"], "no experiment decides"),
        (["worker"], "no claim 'worker'"),
        (["workers", "--minutes", "0"], "--minutes"),
    ],
)
def test_bad_input_is_refused(
    runner: Runner, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["claims", "run", *arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    assert words in capsys.readouterr().err
    assert runner.wanted is None


@pytest.mark.slow  # it starts torch and its workers
def test_on_any_machine_an_experiment_of_the_cpu_runs_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["claims", "run", "small-gpt", "--json"]) == 0
    (done,) = json.loads(capsys.readouterr().out)["experiments"]
    assert (done["state"], done["claims"][0]["claim"]) == ("measured", "steps-per-second")
    pretend(monkeypatch, SERVER)
    assert main(["claims", "steps-per-second"]) == 0
    assert "gpt-tiny, batch 4" in capsys.readouterr().out


def test_claims_may_stand_behind_options(runner: Runner) -> None:
    arguments = ["run", "--minutes", "5", "workers", "--quiet", "layer-norm"]
    assert main(["claims", *arguments]) == 0
    assert runner.wanted is not None
    assert [one.name for one in runner.wanted.experiments] == ["workers", "layer-norm"]
