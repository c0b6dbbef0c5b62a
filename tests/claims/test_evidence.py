"""Measurements behind claims are judged by the rule of comparisons, and files are read with care."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import experiment_files
import pytest

from metalassay.claims import evidence
from metalassay.claims.evidence import Figures
from metalassay.machine import hardware
from metalassay.results import anonymise
from metalassay.statistics import decision

NOISE = [1.001, 0.999, 1.0, 1.002, 0.998, 1.001, 0.999, 1.0]


def figures(arm: float, control: float = 1.0, noise: float = 1.0) -> Figures:
    """Return eight rounds in which the arm and the control take this multiple of the base."""
    spread = [value**noise for value in NOISE]
    return Figures(
        base="a",
        arm="b",
        what="ms",
        of_base=[10 * value for value in spread],
        of_control=[10 * control * value for value in reversed(spread)],
        of_arm=[10 * arm * value for value in spread[3:] + spread[:3]],
    )


@pytest.mark.parametrize(
    ("arm", "word"), [(1.1, "more"), (0.9, "less"), (1.0, "same"), (1.005, "same")]
)
def test_a_clear_result_has_the_verdict_of_the_rule(arm: float, word: str) -> None:
    comparison = figures(arm).judge()
    assert (comparison.word, comparison.reason) == (word, "")
    assert comparison.low < arm < comparison.high


def test_figures_are_judged_by_the_decision_of_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    real = decision.decide

    def decide(replicates: Any, **options: Any) -> decision.Decision:
        calls.append({"replicates": list(replicates), **options})
        return real(replicates, **options)

    monkeypatch.setattr(decision, "decide", decide)
    Figures("a", "b", "ms", [1.0] * 3, [1.0] * 3, [1.0] * 3).judge(family=5)
    assert calls == [
        {"replicates": [(0.0, 0.0)] * 3, "analysis": None, "alpha": decision.ALPHA / 5}
    ]


def test_the_arm_is_compared_with_the_base_and_its_control() -> None:
    comparison = Figures("a", "b", "ms", [1.0] * 3, [4.0] * 3, [6.0] * 3).judge()
    assert comparison.ratio == pytest.approx(6 / 2)  # 2 is the geometric mean of 1 and 4


def test_a_control_that_differs_from_the_base_takes_the_verdict_away() -> None:
    comparison = figures(1.5, control=1.2).judge()
    assert comparison.word == "inconclusive"
    assert "A/A control" in comparison.reason


def test_noise_makes_a_small_difference_inconclusive_with_the_detectable_one() -> None:
    comparison = figures(1.03, noise=30).judge()
    assert comparison.word == "inconclusive"
    assert comparison.reason.startswith("could have detected a difference of ")
    assert comparison.sentence().endswith(f"inconclusive ({comparison.reason})")


def test_more_comparisons_in_an_experiment_widen_each_interval() -> None:
    alone, together = figures(1.1).judge(), figures(1.1).judge(family=8)
    assert together.low < alone.low < alone.high < together.high


@pytest.mark.parametrize(
    ("of_base", "of_arm"),
    [
        ([1.0] * 2, [1.0] * 2),
        ([1.0] * 3, [1.0] * 4),
        ([0.0] * 3, [1.0] * 3),
        ([float("nan")] * 3, [1.0] * 3),
    ],
    ids=["too few", "different lengths", "zero", "not a number"],
)
def test_figures_that_cannot_be_judged_are_an_error(
    of_base: list[float], of_arm: list[float]
) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Figures("a", "b", "ms", of_base, of_base, of_arm).judge()


def test_each_figure_has_an_interval_of_its_own() -> None:
    comparison = figures(2.0).judge()
    assert comparison.base_own[0] < 10 < comparison.base_own[1]
    assert comparison.arm_own[0] < 20 < comparison.arm_own[1]
    assert comparison.arm_own[1] / comparison.arm_own[0] < 1.02


def document(**change: Any) -> dict[str, Any]:
    return experiment_files.record("workers", [figures(1.1)], device="cpu") | change


def test_a_file_is_judged_again_when_it_is_read(tmp_path: Path) -> None:
    experiment_files.write(tmp_path, document())
    ([run], warnings) = evidence.load(tmp_path)
    assert warnings == []
    assert run.comparisons == (figures(1.1).judge(),)
    assert (run.rounds, run.threads, run.device) == (8, 4, "cpu")
    assert run.machine == experiment_files.MAC


def test_a_single_file_can_be_read(tmp_path: Path) -> None:
    path = experiment_files.write(tmp_path, document(), "sent-by-mail.txt")
    assert [run.file for run in evidence.load(path)[0]] == [str(path)]


def test_the_newest_run_is_the_first(tmp_path: Path) -> None:
    for name, day in (("a", "27"), ("b", "29"), ("c", "28")):
        experiment_files.write(tmp_path, document(started=f"2026-11-{day}"), f"{name}.json")
    assert [run.when.day for run in evidence.load(tmp_path)[0]] == [29, 28, 27]


def comparison(**change: Any) -> list[Any]:
    return [{**asdict(figures(1.1)), **change}]


CHANGES: tuple[dict[str, Any], ...] = (
    {"schema": "metalassay.experiment/2"},
    {"schema": 2},
    {"comparisons": comparison(of_arm=["1"] * 8)},
    {"comparisons": comparison(of_arm=[1.0])},
    {"comparisons": comparison(of_arm=[0.0] * 8)},
    {"comparisons": [3]},
    {"comparisons": []},
    {"outcome": "passed"},
    {"comparisons": [], "outcome": "maybe"},
    {"hardware": {}},
    {"device": "tpu"},
    {"started": "yesterday"},
    {"versions": 3},
    {"device": "mps", "hardware": hardware.as_dict(experiment_files.SERVER)},
)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[1]",
        b'{"schema": 1',
        b"null",
        *(json.dumps(document(**change)).encode() for change in CHANGES),
    ],
)
def test_an_unreadable_file_is_a_warning(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "workers-1.json").write_bytes(content)
    runs, warnings = evidence.load(tmp_path)
    assert runs == []
    assert len(warnings) == 1
    assert "workers-1.json" in warnings[0]


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({}, True),
        ({"virtual": True}, False),
        ({"translated": True}, False),
        ({"system": "Linux"}, False),
    ],
)
def test_only_a_real_mac_says_something_of_macs(change: dict[str, Any], counts: bool) -> None:
    machine = replace(experiment_files.MAC, **change)
    run = experiment_files.ran("workers", figures(1.1), machine=machine, device="cpu")
    assert run.on_a_mac is counts
    assert not replace(run, emulated=True).on_a_mac


def test_the_conditions_name_machine_device_versions_rounds_date_and_doubts() -> None:
    run = experiment_files.ran("workers", figures(1.1), device="cpu", marks=["on battery"])
    assert run.conditions() == (
        "Apple M4 (4P+6E CPU, 10-core GPU, 16 GB), macOS 15.1, cpu, torch 2.13.0, 8 rounds, 2026-11-29, on battery"
    )


def test_what_is_shipped_is_readable_and_has_nothing_private() -> None:
    folder = Path(evidence.__file__).with_name(evidence.SHIPPED)
    assert len(evidence.shipped()) == len(list(folder.glob("*.json")))
    for path in folder.glob("*.json"):
        assert not anonymise.strip(path.read_bytes()).removed, path.name
