"""Which upgrades fix the known bugs, computed from their version ranges."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Protocol

import pytest

from metalassay import bugs
from metalassay.diagnosis import fix_plan

GUIDE = {
    "python": "3.11.7",
    "accelerate": "1.8.0",
    "torch": "2.5.1",
    "transformers": "4.52.4",
    "huggingface-hub": "0.36.2",
}


class Put(Protocol):
    """Replace the known bugs."""

    def __call__(self, *rows: str) -> None: ...


def row(bug_id: str, where: str, fix: str = '"none"') -> str:
    """Return a bug as TOML."""
    return f"""
[[bug]]
id = "{bug_id}"
title = "{bug_id}"
link = "https://example.org"
where = {where}
cause = "x"
fixes = [{fix}]
[[bug.symptom]]
id = "s"
raises = "E"
match = "m"
"""


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """Return a function that replaces the known bugs."""

    def put(*rows: str) -> None:
        parsed = bugs.parse("".join(rows))
        monkeypatch.setattr(bugs, "load", lambda: parsed)
        fix_plan._bounds.cache_clear()

    yield put
    fix_plan._bounds.cache_clear()


def test_the_guides_environment_is_fixed_together() -> None:
    plan = fix_plan.plan(GUIDE)
    names = [requirement.partition("~=")[0] for requirement in plan.requirements]
    assert sorted(names) == ["accelerate", "torch", "transformers"]
    assert "accelerate~=1.15.0" in plan.requirements
    assert {"accelerate-empty-shard", "accelerate-n-shard-typo"} <= set(plan.fixes)
    assert plan.remains == ()
    # A bug that no release fixes is listed as one that the plan brings.
    assert "accelerate-empty-epoch" in plan.brings


def test_the_plan_agrees_with_the_version_ranges() -> None:
    plan = fix_plan.plan(GUIDE)
    after = dict(GUIDE)
    for requirement in plan.requirements:
        package, _, version = requirement.partition("~=")
        after[package] = version
    for bug in bugs.load():
        assert (bug.id in plan.fixes) is (bug.hits(GUIDE) and not bug.hits(after)), bug.id
        assert (bug.id in plan.brings) is (bug.hits(after) and not bug.hits(GUIDE)), bug.id


def test_the_nearest_version_above_every_affected_bound_is_taken(known: Put) -> None:
    known(row("a", '[{p = "<1.5"}]'), row("b", '[{p = "<1.9"}]'), row("c", '[{p = ">=3"}]'))
    assert fix_plan.plan({"p": "1.0"}).requirements == ("p~=1.9.0",)


def test_a_bug_that_an_upgrade_brings_is_fixed_by_the_next(known: Put) -> None:
    known(row("a", '[{p = "<1.5"}]'), row("b", '[{p = ">=1.5,<1.7"}]'))
    plan = fix_plan.plan({"p": "1.0"})
    assert (plan.requirements, plan.fixes, plan.brings) == (("p~=1.7.0",), ("a",), ())


def test_a_bug_that_an_upgrade_brings_and_no_release_fixes_is_listed(known: Put) -> None:
    known(row("a", '[{p = "<1.5"}]'), row("b", '[{p = ">=1.5"}]'))
    assert fix_plan.plan({"p": "1.0"}) == fix_plan.Plan(("p~=1.5.0",), ("a",), ("b",), ())


def test_nothing_is_proposed_if_no_release_is_healthy(known: Put) -> None:
    known(row("a", '[{p = ">=0.5"}]'), row("b", '[{p = "==2.0"}]'))
    assert fix_plan.plan({"p": "2.0"}) == fix_plan.Plan((), (), (), ())


def test_an_upgrade_of_the_other_package_may_be_the_fix(known: Put) -> None:
    known(row("a", '[{p = ">=1", q = "<2.6"}]'))
    assert fix_plan.plan({"p": "1.0", "q": "2.5.1"}).requirements == ("q~=2.6.0",)


def test_an_upgrade_inside_the_major_version_is_preferred(known: Put) -> None:
    known(row("a", '[{p = "<5", q = "<2.6"}]'))
    assert fix_plan.plan({"p": "4.0", "q": "2.5"}).requirements == ("q~=2.6.0",)
    assert fix_plan.plan({"p": "4.0", "q": "1.0"}).requirements == ("p~=5.0.0",)


def test_a_downgrade_in_the_data_is_preferred_to_a_new_major_version(known: Put) -> None:
    known(row("a", '[{p = "<5", hub = ">=1"}]', '{ install = ["hub<1"] }'))
    plan = fix_plan.plan({"p": "4.0", "hub": "1.3"})
    assert (plan.requirements, plan.fixes) == (("hub<1",), ("a",))


def test_minimum_versions_of_other_packages_in_a_fix_are_added(known: Put) -> None:
    fix = '{ install = ["p>=1.5", "torch>=2.8"] }'
    known(row("a", '[{p = "<1.5"}]', fix), row("b", '[{p = "<1.9"}]'))
    assert set(fix_plan.plan({"p": "1.0", "torch": "2.5.1"}).requirements) == {
        "p~=1.9.0",
        "torch~=2.8.0",
    }
    assert fix_plan.plan({"p": "1.0", "torch": "2.9.0"}).requirements == ("p~=1.9.0",)
    assert fix_plan.plan({"p": "1.0"}).requirements == ("p~=1.9.0",)


def test_packages_built_for_a_torch_are_upgraded_with_it(known: Put) -> None:
    known(row("a", '[{torch = "<2.6"}]'))
    installed = {"torch": "2.5.1", "torchvision": "0.20.1"}
    assert fix_plan.plan(installed).requirements == ("torch~=2.6.0", "torchvision")


def test_an_operating_system_is_not_a_requirement(known: Put) -> None:
    known(row("a", '[{macos = "<15", python = "<3.12"}]'))
    assert fix_plan.plan({"macos": "14.1", "python": "3.11"}).requirements == ()


@pytest.mark.parametrize(
    ("machine", "requirements"),
    [
        ({"python": "3.11.7"}, ("torch~=2.15.0",)),
        ({"python": "3.11.7", "macos": "15.1"}, ("torch~=2.15.0",)),
        ({"python": "3.11.7", "macos": "14.7"}, ()),
        ({"python": "3.10.13"}, ()),
        ({}, ("torch~=2.15.0",)),
    ],
)
def test_a_torch_that_this_machine_cannot_run_is_not_proposed(
    machine: dict[str, str], requirements: tuple[str, ...], known: Put
) -> None:
    known(row("a", '[{torch = "<2.15"}]'))
    assert fix_plan.plan({"torch": "2.13.0", **machine}).requirements == requirements


def test_ignored_bugs_are_not_in_the_plan() -> None:
    all_but = [bug.id for bug in bugs.load() if bug.id != "accelerate-n-shard-typo"]
    assert fix_plan.plan(GUIDE, all_but).requirements == ("accelerate~=1.9.0",)


@pytest.mark.parametrize(
    ("uv", "begin"),
    [
        ("/bin/uv", ["uv", "pip", "install", "--python", "py"]),
        (None, ["py", "-m", "pip", "install"]),
    ],
)
def test_the_command_uses_uv_if_it_is_available(
    monkeypatch: pytest.MonkeyPatch, uv: str | None, begin: list[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: uv)
    assert fix_plan.command(["a~=1.0"], "py") == [*begin, "a~=1.0"]
    assert fix_plan.as_shell(["pip", "a~=1.0"]) == "pip 'a~=1.0'"
    assert sys.executable in fix_plan.command([], sys.executable)
