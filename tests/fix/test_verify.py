"""How an environment is judged after a change, by what it did before."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay.fix import bug_tests, verify
from metalassay.fix.distributions import Distribution, Installed
from metalassay.smoke import parent as smoke
from metalassay.smoke.parent import Stage


def installed(requires: str = "", **versions: str) -> Installed:
    found = {
        name: Distribution(name, version, (requires,) if requires else (), "", "uv", "", ())
        for name, version in versions.items()
    }
    return Installed(Path("/env"), "3.11.7", (), found)


def tried(**states: str) -> list[Stage]:
    return [Stage(name.replace("_", " "), state, "E: why") for name, state in states.items()]


OLD, NEW = installed(accelerate="1.8.0"), installed(accelerate="1.9.0")
WANTED = ("accelerate~=1.9.0",)


def test_what_works_before_and_after_is_good() -> None:
    both = tried(import_trl="passed", Trainer="passed", LoRA="absent")
    found = verify.judge(both, both, WANTED, OLD, NEW)
    assert found.good
    assert found.tested == ("1 packages imported", "Trainer")


@pytest.mark.parametrize(
    ("before", "after", "failure"),
    [
        ({"LoRA": "passed"}, {"LoRA": "failed"}, "LoRA worked before and does not now"),
        ({"LoRA": "passed"}, {"LoRA": "absent"}, "LoRA worked before and does not now"),
        ({"LoRA": "passed"}, {}, "LoRA worked before and is not there now"),
        ({"Trainer": "failed"}, {"Trainer": "crashed"}, "Trainer fails"),
        ({"import_trl": "failed"}, {"import_trl": "failed"}, "import trl fails"),
        ({"LoRA": "absent"}, {"LoRA": "failed"}, "LoRA fails"),
    ],
)
def test_what_is_worse_or_does_not_train_fails(
    before: dict[str, str], after: dict[str, str], failure: str
) -> None:
    found = verify.judge(tried(**before), tried(**after), WANTED, OLD, NEW)
    assert len(found.failures) == 1
    assert found.failures[0].startswith(failure)


def test_what_stays_broken_beside_the_training_is_told() -> None:
    broken = tried(LoRA="failed")
    found = verify.judge(broken, broken, WANTED, OLD, NEW)
    assert found.good
    assert found.still_broken == ("LoRA fails as it did before: E: why",)


def test_other_versions_and_new_conflicts_fail() -> None:
    other = installed("torch>=9", accelerate="1.10.0", torch="2.13.0")
    found = verify.judge([], [], WANTED, OLD, other)
    assert found.failures == (
        "accelerate is 1.10.0, not accelerate~=1.9.0",
        "accelerate 1.10.0 requires torch>=9 now",
        "torch 2.13.0 requires torch>=9 now",
    )
    assert verify.judge([], [], (), other, other).good  # it was so before


@pytest.mark.parametrize(
    ("outcome", "good", "said"),
    [
        (bug_tests.PASSED, True, "tests of the fixed bugs: why"),
        (bug_tests.NOT_TESTED, True, "not tested: tests of the fixed bugs: why"),
        (bug_tests.FAILED, False, ""),
    ],
)
def test_the_tests_of_the_bugs_count_and_a_missing_suite_is_said(
    outcome: str, good: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke, "run", lambda *_, **__: tuple(tried(Trainer="passed")))
    monkeypatch.setattr(bug_tests, "run", lambda python, ids: (outcome, "why"))
    found = verify.run("python", [], WANTED, OLD, NEW, ["a-bug"], timeout=1, begins=lambda _: None)
    assert found.good is good
    assert said in found.tested or not good
