"""The plan and its result as a person in trouble reads them, at 80 columns."""

from __future__ import annotations

import sys
from pathlib import Path

from metalassay import bugs
from metalassay.diagnosis import fix_plan
from metalassay.diagnosis.fix_plan import Change, Plan
from metalassay.environment import executed, managers
from metalassay.environment.managers import Manager
from metalassay.fix import apply, plan_text
from metalassay.fix.distributions import Distribution, Installed
from metalassay.fix.record import Record
from metalassay.fix.resolve import Resolved
from metalassay.fix.verify import Verdict

MANAGER = Manager(managers.UV_VENV, "/my env/bin/python", Path("/my env"), has_pip=False)
BEFORE = {"python": "3.11.7", "accelerate": "1.8.0", "transformers": "4.52.4"}
FIXED = tuple(bug.id for bug in bugs.load() if bug.hits(BEFORE))[:6]
STOPPING = next(bug.id for bug in bugs.load() if bug.stops)
PLAN = Plan(
    requirements=("accelerate~=1.9.0", "tokenizers<1"),
    fixes=FIXED,
    brings=("a", "b", "c", "d", "e", "f"),
    remains=("g",),
    changes=(
        Change("accelerate", "accelerate~=1.9.0", "1.9.0", "1.8.0", FIXED),
        Change("tokenizers", "tokenizers<1", None, "1.2"),
    ),
    ends=("trl 0.16.1 needs what is gone",),
)
COMMAND = ["uv", "pip", "install", "--python", "/my env/bin/python", "accelerate~=1.9.0"]


def shown(found: Resolved, command: list[str] | None = None, *, applying: bool = False) -> str:
    """Return the text at 80 columns, whose lines are no longer but for the command."""
    words = COMMAND if command is None else command
    lines = plan_text.lines(found, BEFORE, MANAGER, words, 80, applying=applying)
    assert all(len(line) <= 80 or "install" in line for line in lines), lines
    return "\n".join(lines)


def test_a_plan_is_a_diff_with_reasons_and_a_command() -> None:
    refused = ((("accelerate~=1.8.1",), "holder depends on accelerate<1.8"),)
    text = shown(Resolved(PLAN, {**BEFORE, "accelerate": "1.9.77"}, True, refused, ("new",)))
    assert text.startswith("/my env (uv venv without pip, Python 3.11.7)\n\n")
    assert "  accelerate  1.8.0 -> 1.9.0  fixes " in text
    assert "  tokenizers    1.2 -> <1     goes with the others" in text
    assert "It fixes 6 known bugs" in text
    assert "It ends a break: trl 0.16.1 needs what is gone." in text
    assert "It brings a, b, c, d and 2 more; none stops the training." in text
    assert "It installs 1 package more: new." in text
    assert "It does not fix g." in text
    assert "We have not run this very set; --apply tries it." in text
    assert "Smaller, but not possible: accelerate~=1.8.1: holder depends on" in text
    assert "\nuv pip install --python '/my env/bin/python' 'accelerate~=1.9.0'\n" in text
    assert "next: metalassay fix --apply --env '/my env' installs it" in text
    assert "No installer could be asked" not in text
    assert "next:" not in shown(Resolved(PLAN, BEFORE, True), applying=True)


def test_what_was_not_checked_is_said_and_advice_replaces_a_command() -> None:
    text = shown(Resolved(PLAN, BEFORE, False), [])
    assert "No installer could be asked whether it can be installed." in text
    assert "install uv first: https://" in text


def test_a_set_that_was_executed_says_so() -> None:
    row = next(row for row in executed.load() if row.scope == executed.FULL)
    text = shown(Resolved(PLAN, {**row.versions}, True))
    assert "This set was executed on" in text
    assert "We have not run" not in text


def test_numbers_are_grammatical() -> None:
    def first(*fixes: str) -> str:
        change = Change("a", "a~=1.0", "1.0", "0.9", fixes)
        plan = Plan(("a~=1.0",), fixes, (), (), (change,))
        return shown(Resolved(plan, BEFORE, True)).split("\n")[4]

    harmless = next(each for each in FIXED if each not in fix_plan.stopping(FIXED))
    assert first(STOPPING) == "It fixes 1 known bug, which stops the training."
    assert first(harmless) == "It fixes 1 known bug."
    assert first(STOPPING, harmless) == "It fixes 2 known bugs, 1 of which stops the training."
    assert first() == "This set was executed on Linux (row guide)."


def test_where_nothing_helps_that_is_said_with_what_else_does() -> None:
    text = shown(Resolved(fix_plan.NOTHING, BEFORE, True))
    assert "No change of version makes this set better." in text
    assert "With these versions, a patch helps: " in text
    refused = ((("accelerate~=1.9.0",), "holder depends on accelerate<1.9"),)
    text = shown(Resolved(fix_plan.NOTHING, BEFORE, True, refused))
    assert "cannot be installed here:\n  accelerate~=1.9.0: holder depends" in text


def test_a_result_says_what_was_tried_and_how_to_go_back() -> None:
    verdict = Verdict(
        (),
        ("LoRA fails as it did before: boom",),
        ("2 packages imported", "Trainer", "not tested: tests of bugs: Why"),
    )
    result = apply.Result(apply.FIXED, verdict.still_broken, verdict)
    text = "\n".join(plan_text.result_lines(result, MANAGER, 80))
    assert text.startswith(
        "Fixed. Tried: 2 packages imported, Trainer.\nNot tested: tests of bugs: Why."
    )
    assert "Not fixed: LoRA fails as it did before: boom" in text
    assert "To go back: metalassay fix --undo --env '/my env' (the old files stay" in text
    here = Manager(managers.VENV, sys.executable, Path(sys.prefix))
    assert "metalassay fix --undo (the" in " ".join(plan_text.result_lines(result, here, 200))
    result = apply.Result(apply.ROLLED_BACK, ("the installation failed: no network",))
    assert plan_text.result_lines(result, MANAGER, 80) == [
        "Not fixed: the installation failed: no network",
        "/my env is as it was before (every file compared).",
    ]


def test_an_undo_says_what_it_changes() -> None:
    def installed(**versions: str) -> Installed:
        return Installed(
            Path(),
            "3.11",
            (),
            {n: Distribution(n, v, (), "", "", "", ()) for n, v in versions.items()},
        )

    kept = Record(
        "/my env", "done", "2026-01-02T03:04:05+00:00", ("uv",), (),
        {"a": "1", "gone": "3", "metalassay": "1"}, {}, "kept-x", (), (),
    )  # fmt: skip
    now = installed(a="2", new="1", metalassay="2")
    assert plan_text.undo_lines(kept, now, 80) == [
        "This undoes the change of 2026-01-02 03:04 UTC in /my env:",
        "  a 2 -> 1",
        "  gone (not installed) -> 3",
        "  new 1 -> (not installed)",
    ]
    assert "does not start" in plan_text.undo_lines(kept, None, 80)[1]
    assert "no version differs" in plan_text.undo_lines(kept, installed(a="1", gone="3"), 80)[1]
    many = installed(a="1", gone="3", **{f"p{number}": "1" for number in range(30)})
    assert plan_text.undo_lines(kept, many, 80)[-1] == "  and 10 more"
