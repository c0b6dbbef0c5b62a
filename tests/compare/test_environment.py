"""What environment variables do to a workload: which are compared, with what, and what is said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from metalassay import compare
from metalassay.compare import Comparison, environment
from metalassay.compare.environment import Effect
from metalassay.environment import settings
from metalassay.environment.settings import HIGH, LOW, Setting
from metalassay.statistics import decision
from metalassay.statistics.decision import Decision

RULES = {rule.variable: rule for rule in settings.load()}
TRIM, MMAP, TOKENIZERS = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "TOKENIZERS_PARALLELISM"

SECONDS = """
import os
def step():
    return sum(range(30_000 if os.environ.get("TOKENIZERS_PARALLELISM") == "false" else 10_000))
"""


def given(**values: str) -> list[Setting]:
    return [Setting(RULES[name], value=value) for name, value in values.items()]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Answer every comparison at once; return what was asked."""
    calls: list[dict[str, Any]] = []

    def answer(a: str, b: str, **options: Any) -> Comparison:
        calls.append({"a": a, "b": b, **options})
        return comparison()

    monkeypatch.setattr(compare, "compare", answer)
    return calls


def comparison(decided: Decision | None = None, *, interrupted: bool = False) -> Comparison:
    return Comparison(
        a="a",
        b="b",
        clock="cpu",
        other_clock="wall",
        decision=decided,
        other=None,
        alpha=0.01,
        replicates=2,
        steps=1,
        seconds=1.0,
        interrupted=interrupted,
        notes=(),
        facts={},
        conditions={},
    )


def test_each_variable_is_compared_alone_and_all_together(asked: list[dict[str, Any]]) -> None:
    chosen = given(**{TRIM: "-1", MMAP: "0", TOKENIZERS: "false"})
    effects = environment.measure("mine.py::step", chosen, budget=90)
    assert [call["variables"] for call in asked] == [
        {TRIM: "-1", MMAP: "0"},  # right only together
        {TOKENIZERS: "false"},
        {TRIM: "-1", MMAP: "0", TOKENIZERS: "false"},
    ]
    assert {call["family"] for call in asked} == {3}
    assert {(call["a"], call["b"]) for call in asked} == {("mine.py::step", "mine.py::step")}
    # What the first ones leave of the budget is for the others.
    assert [round(call["budget"]) for call in asked] == [30, 45, 90]
    assert effects[0].name == f"{TRIM}=-1 {MMAP}=0"


def test_one_group_is_not_compared_twice(asked: list[dict[str, Any]]) -> None:
    environment.measure("transit-cnn", given(**{TRIM: "-1", MMAP: "0", TOKENIZERS: "false"}))
    assert [call["variables"] for call in asked] == [{TRIM: "-1", MMAP: "0"}]
    assert asked[0]["family"] == 1


def test_the_watermarks_are_never_set_one_by_one(asked: list[dict[str, Any]]) -> None:
    environment.measure("gpt-tiny", given(**{HIGH: "1.2", LOW: "0.98"}), device="mps")
    assert [call["variables"] for call in asked] == [{HIGH: "1.2", LOW: "0.98"}]


@pytest.mark.parametrize(
    ("setting", "what", "says"),
    [
        (Setting(RULES[TRIM], yours="5"), "gpt-tiny", "it is yours, and stays"),
        (Setting(RULES[HIGH], why_not="it is for macOS"), "gpt-tiny", "it is for macOS"),
        (Setting(RULES[HIGH], value="1.2"), "gpt-tiny", "it acts on mps only"),
        (Setting(RULES[TRIM], value="-1"), "gpt-tiny:train:device=mps", "it acts on cpu only"),
        (Setting(RULES[TOKENIZERS], value="false"), "gpt-tiny", "our workloads do nothing that"),
        (
            Setting(RULES["UV_HTTP_TIMEOUT"], value="120"),
            "gpt-tiny",
            "while something is downloaded",
        ),
        (Setting(RULES["OMP_NUM_THREADS"], value="4"), "mine.py::step", "metalassay compare"),
    ],
)
def test_what_no_timing_can_show_is_not_measured(
    setting: Setting, what: str, says: str, asked: list[dict[str, Any]]
) -> None:
    (effect,) = environment.measure(what, [setting])
    assert asked == []
    assert effect.verdict == "not measured"
    assert environment.verdict(effect).startswith("not measured: ")
    assert says in effect.why_not
    assert effect.as_dict()["comparison"] is None


def test_after_an_interrupt_nothing_more_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "compare", lambda *_, **__: comparison(interrupted=True))
    effects = environment.measure("mine.py::step", given(**{TRIM: "-1", TOKENIZERS: "false"}))
    assert [effect.comparison is not None for effect in effects] == [True]
    assert "too few replicates (2)" in environment.verdict(effects[0])


def decided(verdict: str, low: float, high: float, distrusted: str | None = None) -> Decision:
    return Decision(
        verdict=verdict,
        ratio=(low + high) / 2,
        low=low,
        high=high,
        detectable=0.02,
        p=0.5,
        replicates=6,
        margin=0.01,
        null=0.0,
        null_low=0.0,
        null_high=0.0,
        distrusted=distrusted,
    )


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (decided(decision.SAME, -0.004, 0.006), "no difference >= 1 % [-0.4%, +0.6%]"),
        (decided(decision.FASTER, -0.06, -0.04), "faster by 5.0% [-6.0%, -4.0%]"),
        (decided(decision.SLOWER, 0.04, 0.06), "slower by 5.0% [+4.0%, +6.0%]"),
        (decided(decision.INCONCLUSIVE, -0.03, 0.05), "inconclusive: could have detected"),
        (decided(decision.INCONCLUSIVE, -0.004, 0.006, "A and A differ"), "A and A differ"),
    ],
)
def test_the_answer_is_faster_slower_or_no_difference(found: Decision, says: str) -> None:
    assert says in environment.verdict(Effect({TRIM: "-1"}, comparison(found)))
    interrupted = Effect({TRIM: "-1"}, comparison(found, interrupted=True))
    assert environment.verdict(interrupted) == "inconclusive: interrupted"


def test_only_b_has_the_variables_and_both_are_started_afresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "import os\n"
        "with open('seen', 'a') as file: file.write(os.environ.get('MINE', 'none') + '\\n')\n"
        "def step(): sum(range(1000))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINE", raising=False)
    done: list[object] = []

    def once(step: object) -> None:
        done.append(step)
        raise KeyboardInterrupt  # one replicate is enough

    found = compare.compare(
        "mine.py::step", "mine.py::step", variables={"MINE": "B"}, progress=once
    )
    assert len(done) == 1
    assert (found.a, found.b) == ("mine.py::step", "mine.py::step with MINE=B")
    assert sorted((tmp_path / "seen").read_text().split()) == ["B", "none", "none"]
    assert "MINE" not in os.environ


@pytest.mark.slow
def test_a_variable_that_makes_a_step_slower_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(SECONDS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(TOKENIZERS, raising=False)
    chosen = given(**{TOKENIZERS: "false"})
    (effect,) = environment.measure("mine.py::step", chosen, budget=120)
    assert effect.verdict == "slower", environment.verdict(effect)
    assert effect.comparison is not None
    assert effect.comparison.decision is not None
    assert 1.5 < effect.comparison.decision.ratio < 2.5
