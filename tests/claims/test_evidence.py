"""Measurements behind claims are judged by the rule of comparisons, and old files have no verdict."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from metalassay.claims import evidence
from metalassay.claims.evidence import Comparison, Figures
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


def record(schema: int, comparison: Any) -> dict[str, Any]:
    return {
        "schema": schema,
        "experiment": "workers",
        "machine": "Apple M4",
        "device": "cpu",
        "versions": {"torch": "2.13.0"},
        "comparisons": [comparison],
    }


def test_a_file_is_judged_again_when_it_is_read(tmp_path: Path) -> None:
    content = record(evidence.SCHEMA, asdict(figures(1.1)))
    (tmp_path / "workers-1.json").write_text(json.dumps(content), "utf-8")
    ([run], warnings) = evidence.load("workers", tmp_path)
    assert warnings == []
    assert run.comparisons == (figures(1.1).judge(),)


def test_a_file_without_a_control_is_inconclusive_whatever_it_says(tmp_path: Path) -> None:
    """Earlier files hold a verdict of a weaker rule, and nothing to judge it by."""
    old = asdict(Comparison("a", "b", "ms", 1.0, 2.0, 2.0, 1.9, 2.1, 12, "more"))
    del old["reason"]
    (tmp_path / "workers-1.json").write_text(json.dumps(record(1, old)), "utf-8")
    ([run], warnings) = evidence.load("workers", tmp_path)
    (comparison,) = run.comparisons
    assert warnings == []
    assert (comparison.word, comparison.ratio) == ("inconclusive", 2.0)
    assert "without an A/A control" in comparison.sentence()


def test_experiments_whose_names_begin_alike_are_told_apart(tmp_path: Path) -> None:
    content = record(evidence.SCHEMA, asdict(figures(1.1))) | {"experiment": "workers-of-others"}
    (tmp_path / "workers-of-others-1.json").write_text(json.dumps(content), "utf-8")
    assert evidence.load("workers", tmp_path) == ([], [])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[1]",
        b'{"schema": 1',
        b"null",
        json.dumps(record(2, {**asdict(figures(1.1)), "of_arm": ["1"] * 8})).encode(),
        json.dumps(record(2, {**asdict(figures(1.1)), "of_arm": [1.0]})).encode(),
        json.dumps(record(2, 3)).encode(),
    ],
)
def test_an_unreadable_file_is_a_warning(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "workers-1.json").write_bytes(content)
    runs, warnings = evidence.load("workers", tmp_path)
    assert runs == []
    assert len(warnings) == 1
