"""The judgement of a change: what worked must work, and what was promised must be there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metalassay.fix import bug_tests, verify
from metalassay.fix.distributions import Distribution, Installed
from metalassay.smoke import parent as smoke
from metalassay.smoke.parent import Stage


def installed(*requires: str, **versions: str) -> Installed:
    """Return an environment; what its package ``a`` requires."""
    return Installed(
        Path(),
        "3.11.7",
        (),
        {
            name: Distribution(name, version, requires if name == "a" else (), "", "", "", ())
            for name, version in versions.items()
        },
    )


def stages(**answers: str) -> tuple[Stage, ...]:
    """Return stages by name and status."""
    return tuple(Stage(name.replace("_", " "), status, "boom") for name, status in answers.items())


@pytest.mark.parametrize(
    ("before", "after", "failures", "still"),
    [
        ({"LoRA": "passed"}, {"LoRA": "passed"}, [], []),
        ({"LoRA": "failed"}, {"LoRA": "passed"}, [], []),
        ({"LoRA": "failed"}, {"LoRA": "failed"}, [], ["LoRA fails as it did before: boom"]),
        ({"LoRA": "absent"}, {"LoRA": "absent"}, [], []),
        ({"LoRA": "absent"}, {"LoRA": "crashed"}, ["LoRA fails: boom"], []),
        ({"LoRA": "passed"}, {"LoRA": "absent"}, ["LoRA worked before and does not now: boom"], []),
        ({"LoRA": "passed"}, {}, ["LoRA worked before and is not there now"], []),
        # Nothing is called fixed that still cannot be imported or trained with.
        ({"Trainer": "failed"}, {"Trainer": "failed"}, ["Trainer fails: boom"], []),
        ({"import_trl": "failed"}, {"import_trl": "failed"}, ["import trl fails: boom"], []),
    ],
)
def test_stages_are_compared(
    before: dict[str, str], after: dict[str, str], failures: list[str], still: list[str]
) -> None:
    one = installed(accelerate="1.9.0")
    found = verify.judge(stages(**before), stages(**after), ["accelerate~=1.9.0"], one, one)
    assert (list(found.failures), list(found.still_broken)) == (failures, still)
    assert found.good is not bool(failures)


def test_what_was_asked_for_must_be_there_and_what_others_require() -> None:
    old = installed("numpy>=1", "missing>1", a="1.0", numpy="2.0")
    new = installed("numpy>=1", "missing>1", a="1.0", numpy="0.9")
    found = verify.judge((), (), ["a~=1.1", "none~=2.0", "numpy<1"], old, new)
    assert found.failures == (
        "a is 1.0, not a~=1.1",
        "none is not installed, not none~=2.0",
        "a 1.0 requires numpy>=1 now",
    )


def test_what_was_tried_is_said() -> None:
    one = installed(a="1")
    answers = stages(import_trl="passed", import_peft="absent", Trainer="passed", LoRA="absent")
    assert verify.judge(answers, answers, [], one, one).tested == ("1 package imported", "Trainer")


@pytest.mark.parametrize(
    ("outcome", "good", "tested"),
    [
        (bug_tests.PASSED, True, "tests of the fixed bugs: said"),
        (bug_tests.NOT_TESTED, True, "not tested: tests of the fixed bugs: said"),
        (bug_tests.FAILED, False, None),
    ],
)
def test_the_tests_of_the_bugs_have_the_last_word(
    outcome: str, good: bool, tested: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    asked: list[Any] = []
    monkeypatch.setattr(smoke, "run", lambda *_, **__: ())

    def run(*words: Any) -> tuple[str, str]:
        asked.append(words)
        return outcome, "said"

    monkeypatch.setattr(bug_tests, "run", run)
    one = installed(a="1")
    found = verify.run("python", (), [], one, one, ["id"], timeout=1, begins=begun.append)
    assert (asked, begun) == ([("python", ["id"])], ["the tests of the fixed bugs"])
    assert found.good is good
    assert found.tested[-1:] == ((tested,) if tested else ())


def test_the_tests_of_the_bugs_do_not_run_where_the_change_goes_anyway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(smoke, "run", lambda *_, **__: ())
    monkeypatch.setattr(bug_tests, "run", lambda *_: pytest.fail("they ran"))
    one = installed(a="1")
    found = verify.run("p", (), ["a==2"], one, one, ["id"], timeout=1, begins=lambda _: None)
    assert found.failures == ("a is 1, not a==2",)


def test_the_bugs_that_stop_are_tested_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "run", lambda *_, **__: (Stage("Trainer", smoke.PASSED),))
    asked: list[str] = []

    def run(python: str, ids: tuple[str, ...]) -> tuple[str, str]:
        asked.extend(ids)
        return bug_tests.PASSED, "7 passed"

    monkeypatch.setattr(bug_tests, "run", run)
    fixed = [
        "accelerate-mps-env-na", "accelerate-env-off-path", "accelerate-empty-shard",
        "accelerate-break-keeps-loader", "trainer-needs-accelerate-1-3",
    ]  # fmt: skip
    nothing = Installed(Path("/env"), "3.11.7", (), {})
    found = verify.run("python", [], (), nothing, nothing, fixed, timeout=1, begins=lambda _: None)
    assert asked[:2] == ["trainer-needs-accelerate-1-3", "accelerate-empty-shard"]
    assert len(asked) == 3
    assert found.tested[-1] == "tests of 3 of the 5 fixed bugs: 7 passed"
