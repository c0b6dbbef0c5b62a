"""A plan and its result on a terminal of 80 columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay.diagnosis import fix_plan
from metalassay.environment.managers import Manager
from metalassay.fix import plan_text
from metalassay.fix.apply import FIXED, ROLLED_BACK, Result
from metalassay.fix.resolve import Resolved
from metalassay.fix.verify import Verdict

MANAGER = Manager("uv venv", "python", Path("/env"), has_uv=True, has_pip=False)
BEFORE = {"python": "3.11.7", "accelerate": "1.8.0", "transformers": "4.52.4", "torch": "2.13.0"}


def text(found: Resolved, before: dict[str, str] = BEFORE, width: int = 80) -> str:
    lines = plan_text.lines(found, before, MANAGER, ["uv", "pip", "install", "a~=1"], width)
    assert all(len(line) <= width for line in lines if not line.startswith(("uv ", "next:")))
    return "\n".join(lines)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_plan_is_a_diff_with_reasons_and_the_command(width: int) -> None:
    plan = fix_plan.plan(BEFORE)
    said = text(Resolved(plan, plan.versions, True), width=width)
    assert "accelerate     1.8.0 -> 1.15.0" in said
    assert "fixes accelerate-n-shard-typo and" in " ".join(said.split())
    assert "It brings accelerate-empty-epoch" in said
    assert "uv pip install 'a~=1'" in said
    assert "metalassay fix --apply" in said


def test_what_was_refused_or_not_checked_is_said() -> None:
    plan = fix_plan.plan(BEFORE)
    said = text(Resolved(plan, plan.versions, False, ((("a~=2",), "b needs a<2"),)))
    assert "Smaller, but not possible: a~=2: b needs a<2" in said
    assert "No installer could be asked" in said


def test_nothing_better_names_the_reason_and_what_helps_without_a_change() -> None:
    found = Resolved(fix_plan.NOTHING, BEFORE, True, ((("a~=2",), "b needs a<2"),))
    said = text(found)
    assert "cannot be installed here" in said
    assert "a~=2: b needs a<2" in said
    assert "metalassay.patches" in said
    healthy = {"python": "3.11.7", "accelerate": "1.15.0", "torch": "2.13.0"}
    assert "No change of version makes this set better" in text(
        Resolved(fix_plan.NOTHING, healthy, True), healthy
    )


def test_the_result_says_what_was_tried_and_what_is_as_before() -> None:
    good = Result(FIXED, ("LoRA fails as it did before",), Verdict((), (), ("Trainer",)))
    said = plan_text.result_lines(good, MANAGER, 80)
    assert said == [
        "Fixed. Tried: Trainer.",
        "Not fixed: LoRA fails as it did before",
        "To go back: metalassay fix --undo",
    ]
    said = plan_text.result_lines(Result(ROLLED_BACK, ("Trainer fails",)), MANAGER, 80)
    assert said == [
        "Not fixed: Trainer fails",
        "/env is as it was before (every file compared).",
    ]
