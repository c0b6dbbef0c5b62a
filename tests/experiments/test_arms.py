"""The arms have the names that claims/experiments.toml decides by, and refuse what the CPU cannot show."""

from __future__ import annotations

import pytest
import torch

from metalassay.claims import experiments
from metalassay.errors import UserError
from metalassay.experiments import arms, process_arms
from metalassay.machine import power

CPU = torch.device("cpu")
NEED_A_GPU = ("empty-cache", "synchronize", "warm-up")


def test_every_experiment_of_rounds_has_arms_and_no_arms_are_left_over() -> None:
    assert {one.name for one in experiments.load() if not one.test} == arms.EXPERIMENTS.keys()


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count a joule a reading."""
    joules = iter(range(1, 1000))
    counter = power.Reader("CPU", power.MODELLED, "RAPL", lambda: float(next(joules)))
    monkeypatch.setattr(power, "find", lambda: counter)


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("name", arms.EXPERIMENTS)
def test_the_arms_have_names_that_are_known(name: str) -> None:
    if name in NEED_A_GPU:
        # They build nothing before their arms are asked for.
        builders = arms.EXPERIMENTS[name](torch.device("mps"))
    else:
        builders = arms.EXPERIMENTS[name](CPU)
    assert builders.keys() <= set(experiments.NAMES)
    if name == "mixed-precision" or name == "threads":
        return  # by the number of cores, and by the device
    wanted = {
        arm
        for decides in experiments.decisions().values()
        for when in decides.when
        for arm in filter(None, (when.arm, when.base))
        if decides.experiment == name
    }
    assert wanted <= builders.keys()
    bases = {
        when.base
        for decides in experiments.decisions().values()
        for when in decides.when
        if decides.experiment == name and when.base
    }
    assert bases <= {next(iter(builders))}


@pytest.mark.parametrize("name", NEED_A_GPU)
def test_what_the_cpu_cannot_show_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"MPS is usable"):
        arms.EXPERIMENTS[name](CPU)


def test_without_a_counter_of_energy_watts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "find", lambda: "only root may read the counters")
    with pytest.raises(UserError, match="only root may read"):
        arms.watts(CPU)


@pytest.mark.usefixtures("reader")
def test_watts_are_those_of_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arms, "_METERED", 0.6)
    figures = arms.watts(CPU)["inference"]()()
    assert 0.5 < figures["watts"] < 2  # one joule in a little more than 0.6 seconds
    assert figures.keys() <= set(experiments.NAMES)
    assert figures["samples a joule"] * figures["watts"] > 10  # samples, not batches, a second


@pytest.mark.parametrize(
    ("name", "figures"),
    [("small-gpt", {"steps a second"}), ("layer-norm", {"milliseconds a step"})],
)
def test_an_arm_returns_positive_figures_that_are_known(name: str, figures: set[str]) -> None:
    measured = next(iter(arms.EXPERIMENTS[name](CPU).values()))()()
    assert measured.keys() == figures
    assert all(value > 0 for value in measured.values())
    assert figures <= set(experiments.NAMES)


def test_threads_that_are_equally_many_are_one_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    from experiment_files import MAC, pretend

    pretend(monkeypatch, MAC)
    monkeypatch.setattr("os.cpu_count", lambda: 10)
    arms_of = list(process_arms.threads(CPU))
    assert arms_of == ["performance cores", "all cores", "1 thread", process_arms.ONE_VECLIB]
