"""The simulated and live curves of answers against time."""

from __future__ import annotations

import json
import random
from pathlib import Path

import compare_replay
import decision_curves
import pytest
from decision_curves import EQUAL, KINDS, MORE, SAME, Ended, Simulation

from metalassay.statistics import decision

NOISE = Path(__file__).parents[1] / "data" / "noise"
COMPARISONS = 300


def ended(name: str, kind: str, budget: float = 60, shift: float = decision.LAYOUT) -> list[Ended]:
    simulation = Simulation(compare_replay.load(NOISE / f"{name}.json"), 6, 1.6, shift)
    chance = random.Random(f"{name} {kind} {budget}")
    return [simulation.run(kind, budget, chance) for _ in range(COMPARISONS)]


def share(found: list[Ended], *verdicts: str) -> float:
    return sum(each.verdict in verdicts for each in found) / len(found)


@pytest.mark.parametrize("kind", [SAME, EQUAL])
@pytest.mark.parametrize("name", ["cnn", "gpt", "kernel"])
def test_what_takes_as_long_is_called_different_in_at_most_1_percent(name: str, kind: str) -> None:
    found = ended(name, kind)
    assert share(found, decision.SLOWER, decision.FASTER) <= 0.01
    assert all(each.seconds <= 60 for each in found)


def test_the_same_code_has_an_answer_within_a_minute_in_four_of_five_comparisons() -> None:
    assert share(ended("cnn", SAME), decision.SAME) >= 0.8


def test_more_work_is_found_and_never_called_faster() -> None:
    found = ended("cnn", MORE)
    assert share(found, decision.SLOWER) >= 0.95
    assert share(found, decision.FASTER) == 0


def test_a_server_that_shifts_by_more_than_is_allowed_for_is_seen_in_the_simulation() -> None:
    """The simulation can fail: ten times the shift makes many false alarms, or the widening no difference."""
    assert share(ended("cnn", EQUAL, shift=0.03), decision.SLOWER, decision.FASTER) > 0.1


def test_a_short_budget_ends_in_time_and_without_an_answer() -> None:
    found = ended("cnn", SAME, budget=12)
    assert all(each.seconds <= 12 for each in found)
    assert share(found, decision.INCONCLUSIVE) > 0.9


def test_live_decisions_are_read_by_kind_and_drawn_beside_the_simulated_ones(
    tmp_path: Path,
) -> None:
    file = tmp_path / "live.jsonl"
    records = [
        {"b": "gpt-tiny:train", "verdict": "same", "seconds": 30.0, "distrusted": False},
        {"b": "gpt-tiny:train:extra=11", "verdict": "slower", "seconds": 20.0, "distrusted": False},
        {
            "b": "gpt-tiny:train:extra=11",
            "verdict": "inconclusive",
            "seconds": 60,
            "distrusted": True,
        },
    ]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    real = decision_curves.live(file)
    assert real[SAME] == [Ended("same", 30.0)]
    assert [each.known for each in real[MORE]] == [True, False]
    assert decision_curves.curve(real[MORE], decision.SLOWER, 65) == [
        *((0.0, 0.0), (20.0, 0.0), (20.0, 0.5), (65, 0.5))
    ]
    line = decision_curves.row("live", MORE, real[MORE])
    assert line.startswith(
        "| live | 3 % more work | 2 | 50.0% [1.3%, 98.7%] | 0.0% [0.0%, 84.2%] | 1 |"
    )
    drawn = decision_curves.plot("a < b", dict.fromkeys(KINDS, real[SAME]), real, 65)
    assert "a &lt; b" in drawn
    assert drawn.count("<polyline") == 4
    assert drawn.count("stroke-dasharray") == 2
