"""The experiments that need MPS run under the emulated device: their control flow, which decides nothing."""

from __future__ import annotations

import pytest
import torch

from metalassay.claims import experiments
from metalassay.experiments import arms, process_arms, rounds
from metalassay.measure import device as devices

MPS = torch.device("mps")


@pytest.mark.parametrize("name", ["empty-cache", "synchronize", "layer-norm", "mixed-precision"])
def test_the_arms_of_an_experiment_run_on_mps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arms, "BATCH", 8)
    monkeypatch.setattr(arms, "EPOCHS", 2)
    builders = arms.EXPERIMENTS[name](MPS)
    one = rounds.measure(builders, 0)
    decided = [
        when
        for decides in experiments.decisions().values()
        for when in decides.when
        if decides.experiment == name
    ]
    for when in decided:
        assert one[when.arm][when.what] > 0 < one[when.base][when.what]


@pytest.mark.parametrize(
    ("arm", "batches", "clears"),
    [
        ("never", 20, 0),
        ("every 10 epochs", 60, 1),
        ("every 10 batches", 20, 2),
        ("after each batch", 5, 5),
    ],
)
def test_the_cache_is_cleared_as_often_as_the_arm_says_and_after_memory_was_read(
    arm: str, batches: int, clears: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arms, "BATCH", 4)
    monkeypatch.setattr(arms, "EPOCHS", batches // arms.EPOCH)
    done: list[str] = []
    run = arms.empty_cache(MPS)[arm]()
    monkeypatch.setattr(devices, "empty_cache", lambda _: done.append("clear"))

    def memory(_: torch.device) -> dict[str, int | None]:
        done.append("read")
        return {"driver": len(done)}

    monkeypatch.setattr(devices, "memory", memory)
    run()
    # Twice, with one shape and with many: each begins with a cache that is empty.
    assert done.count("clear") == 2 * (clears + 1)
    assert done.count("read") == 2 * batches
    for place, word in enumerate(done):
        if word == "clear" and place not in (0, len(done) // 2):
            assert done[place - 1] == "read"


@pytest.mark.slow  # it starts torch and the emulator
def test_a_program_that_is_started_emulates_too() -> None:
    ran = process_arms.program(MPS, {}, before="zero")
    assert ran["first"] > 0
