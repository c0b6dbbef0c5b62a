"""The smallest change of versions that leaves no known bug and no break."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import pytest

from metalassay import bugs
from metalassay.diagnosis import fix_plan
from metalassay.diagnosis.fix_plan import Facts

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


def row(bug_id: str, where: str, fix: str = '{ install = ["p>=9"] }', stops: bool = False) -> str:
    """Return a bug as TOML; by default one that a change of versions fixes."""
    return f"""
[[bug]]
id = "{bug_id}"
title = "{bug_id}"
link = "https://example.org"
entry = "import"
stops = {str(stops).lower()}
reports = 0
where = {where}
cause = "x"
fixes = [{fix}]
[[bug.symptom]]
id = "s"
raises = "E"
match = "m"
"""


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Put:
    """Return a function that replaces the known bugs."""

    def put(*rows: str) -> None:
        parsed = bugs.parse("".join(rows))
        monkeypatch.setattr(bugs, "load", lambda: parsed)

    return put


def facts(
    releases: Mapping[str, str] | None = None,
    requires: Mapping[tuple[str, str], str] | None = None,
    breaks: Callable[[Mapping[str, str]], str] = lambda _: "",
    executed: Callable[[Mapping[str, str]], bool] = lambda _: False,
) -> Facts:
    """Return facts from words separated by spaces."""
    return Facts(
        releases=lambda package: tuple((releases or {}).get(package, "").split()),
        requires=lambda package, version: tuple(
            (requires or {}).get((package, version), "").split()
        ),
        breaks=lambda versions: set(filter(None, [breaks(versions)])),
        executed=executed,
    )


NONE = facts()
P = facts({"p": "1.0.0 1.4.0 1.5.0 1.5.1 1.7.0 1.9.0 2.0.0 3.0.0"})


# What breaks working environments in the issue that this search answers.


def test_an_environment_that_trains_is_not_sent_where_no_trainer_starts() -> None:
    installed = {"python": "3.11.7", "accelerate": "0.34.2", "transformers": "4.37.2"}
    plan = fix_plan.plan({**installed, "torch": "2.5.1"})
    after = {**installed, **plan.versions}
    assert not bugs.get("trainer-dispatch-batches-accelerate-1").hits(after)


def test_trl_and_transformers_are_not_set_against_each_other() -> None:
    installed = {"python": "3.11.7", "trl": "0.16.1", "transformers": "4.51.3", "torch": "2.6.0"}
    plan = fix_plan.plan({**installed, "accelerate": "1.8.0", "datasets": "3.6.0"})
    assert plan.requirements
    assert not bugs.get("grpotrainer-train-sampler-transformers-4-52").hits(plan.versions)


def test_the_guides_environment_is_fixed() -> None:
    plan = fix_plan.plan(GUIDE)
    assert "accelerate~=1.15.0" in plan.requirements
    assert {"accelerate-empty-shard", "accelerate-n-shard-typo"} <= set(plan.fixes)
    assert not fix_plan.stopping(bug.id for bug in bugs.load() if bug.hits(plan.versions))
    # A bug that no release fixes is listed as one that the plan brings.
    assert "accelerate-empty-epoch" in plan.brings


def test_the_plan_agrees_with_the_version_ranges() -> None:
    plan = fix_plan.plan(GUIDE)
    for bug in bugs.load():
        assert (bug.id in plan.fixes) is (bug.hits(GUIDE) and not bug.hits(plan.versions)), bug.id
        assert (bug.id in plan.brings) is (bug.hits(plan.versions) and not bug.hits(GUIDE)), bug.id


@pytest.mark.parametrize("bug", [bug.id for bug in bugs.load() if bug.stops and not bug.needs])
def test_no_plan_brings_what_stops_the_training(bug: str) -> None:
    """Whatever a bug is fixed by, nothing else that stops comes instead."""
    where = bugs.get(bug).where[0]
    installed = {"python": "3.11.7", "torch": "2.13.0", "accelerate": "1.8.0"}
    for package, specifier in where.items():
        releases = (*fix_plan.known_facts().releases(package), *fix_plan._bounds(package))
        installed[package] = [each for each in releases if specifier.contains(each)][-1]
    assert bugs.get(bug).hits(installed)
    plan = fix_plan.plan(installed)
    assert not fix_plan.stopping(plan.brings)
    assert bug in plan.fixes or not fix_plan.fixable(bugs.get(bug))


# What is preferred.


def test_the_nearest_healthy_release_is_taken(known: Put) -> None:
    known(row("a", '[{p = "<1.5"}]'), row("b", '[{p = "<1.9"}]'), row("c", '[{p = ">=3"}]'))
    assert fix_plan.plan({"p": "1.0"}, facts=P).requirements == ("p~=1.9.0",)


def test_of_a_minor_version_the_newest_patch_is_taken(known: Put) -> None:
    known(row("a", '[{p = "<1.4.9"}]'))
    assert fix_plan.plan({"p": "1.0"}, facts=P).requirements == ("p~=1.5.1",)


def test_a_package_without_known_releases_is_raised_to_a_bound(known: Put) -> None:
    known(row("a", '[{p = "<1.5"}]'), row("b", '[{p = ">=1.5,<1.7"}]'))
    plan = fix_plan.plan({"p": "1.0"}, facts=NONE)
    assert (plan.requirements, plan.fixes, plan.brings) == (("p~=1.7.0",), ("a",), ())


def test_a_bug_that_no_release_fixes_is_worth_less_than_one_that_a_change_fixes(known: Put) -> None:
    known(row("a", '[{p = "<1.5"}]'), row("b", '[{p = ">=1.5"}]', '"none"'))
    plan = fix_plan.plan({"p": "1.4.0"}, facts=P)
    assert (plan.requirements, plan.fixes, plan.brings) == (("p~=1.5.1",), ("a",), ("b",))


def test_one_bug_for_another_is_no_fix(known: Put) -> None:
    known(row("a", '[{p = "<1.5"}]'), row("b", '[{p = ">=1.5"}]'))
    assert fix_plan.plan({"p": "1.4.0"}, facts=P) == fix_plan.NOTHING


def test_a_bug_that_code_must_change_for_is_no_reason_to_change_versions(known: Put) -> None:
    known(row("a", '[{p = ">=1.5"}]', '"rename it", { install = ["p<1.5"] }'))
    assert fix_plan.plan({"p": "1.5.1"}, facts=P) == fix_plan.NOTHING


def test_nothing_that_stops_is_ever_brought(known: Put) -> None:
    known(
        row("a", '[{p = "<1.5"}]'), row("b", '[{p = "<1.7"}]'), row("c", '[{p = "<1.9"}]'),
        row("stop", '[{p = ">=1.5", q = "<2"}]', '{ install = ["q>=2"] }', stops=True),
    )  # fmt: skip
    known_releases = facts({"p": "1.0.0 1.9.0", "q": "1.0.0 2.0.0"})
    assert fix_plan.plan({"p": "1.0.0", "q": "1.0.0"}, facts=known_releases) == fix_plan.NOTHING
    # What stops already goes first.
    plan = fix_plan.plan({"p": "1.9.0", "q": "1.0.0"}, facts=facts({"p": "1.9.0", "q": "2.0.0"}))
    assert (plan.requirements, plan.fixes) == (("q~=2.0.0",), ("stop",))


def test_a_major_version_and_an_older_release_are_for_what_stops(known: Put) -> None:
    for specifier, change in (("<2", "p~=2.0.0"), (">=1.5,<3", "p~=1.4.0")):
        known(row("a", f'[{{p = "{specifier}"}}]', stops=True))
        assert fix_plan.plan({"p": "1.9.0"}, facts=P).requirements == (change,)
        known(row("a", f'[{{p = "{specifier}"}}]'))
        assert fix_plan.plan({"p": "1.9.0"}, facts=P) == fix_plan.NOTHING


def test_a_change_of_one_package_is_preferred_to_two(known: Put) -> None:
    known(row("a", '[{p = "<1.5", q = "<1.5"}]'), row("b", '[{q = "<1.5"}]'))
    two = facts({"p": "1.0.0 1.5.0", "q": "1.0.0 1.5.0"})
    assert fix_plan.plan({"p": "1.0.0", "q": "1.0.0"}, facts=two).requirements == ("q~=1.5.0",)


def test_a_set_that_was_executed_is_preferred_to_a_nearer_one(known: Put) -> None:
    known(row("a", '[{p = "<1.5"}]'))
    ran = facts({"p": "1.0.0 1.5.0 1.7.0"}, executed=lambda versions: versions["p"] == "1.7.0")
    assert fix_plan.plan({"p": "1.0.0"}, facts=ran).requirements == ("p~=1.7.0",)


def test_three_packages_move_together_where_that_ends_a_stop(known: Put) -> None:
    known(
        row("a", '[{p = "<2"}]', stops=True),
        row("b", '[{p = ">=2", q = "<2"}]', stops=True),
        row("c", '[{q = ">=2", r = "<2"}]', stops=True),
    )
    three = facts(dict.fromkeys("pqr", "1.0.0 2.0.0"))
    plan = fix_plan.plan(dict.fromkeys("pqr", "1.0.0"), facts=three)
    assert set(plan.requirements) == {"p~=2.0.0", "q~=2.0.0", "r~=2.0.0"}


def test_more_packages_are_tried_where_what_looked_best_cannot_be_had() -> None:
    """Of an executed environment whose fix left what stopped the import, and was rolled back."""
    installed = {
        "python": "3.11.7", "accelerate": "1.8.0", "transformers": "5.14.1", "trl": "0.26.0",
        "peft": "0.17.1", "datasets": "5.2.0", "tokenizers": "0.22.2", "torch": "2.13.0",
        "huggingface-hub": "1.33.0",
    }  # fmt: skip
    plan = fix_plan.plan(installed)
    assert "peft-hybridcache-transformers5" in plan.fixes
    assert plan.keeps == ()
    assert not fix_plan.stopping(plan.remains)


# Breaks and requirements.


def test_a_break_is_ended_and_none_is_brought(known: Put) -> None:
    known(row("a", '[{q = "<0"}]'))

    def breaks(versions: Mapping[str, str]) -> str:
        return "p calls what q lost" if versions["p"] < "1.7" and versions["q"] > "1" else ""

    both = facts({"p": "1.0.0 1.5.0 1.7.0", "q": "0.9.0 1.5.0"}, breaks=breaks)
    plan = fix_plan.plan({"p": "1.0.0", "q": "1.5.0"}, facts=both)
    assert (plan.requirements, plan.ends, plan.keeps) == (
        ("p~=1.7.0",),
        ("p calls what q lost",),
        (),
    )
    known(row("a", '[{q = "<1"}]'))
    assert fix_plan.plan({"p": "1.0.0", "q": "0.9.0"}, facts=both).requirements == ()


def test_requirements_of_each_other_are_kept(known: Put) -> None:
    known(row("a", '[{p = "<1.5"}]'))
    bound = facts(
        {"p": "1.0.0 1.5.0 1.7.0", "q": "1.0.0"},
        {("q", "1.0.0"): "p!=1.5.0", ("p", "1.7.0"): "q>=1"},
    )
    assert fix_plan.plan({"p": "1.0.0", "q": "1.0.0"}, facts=bound).requirements == ("p~=1.7.0",)
    too_old = facts({"p": "1.0.0 1.5.0", "q": "1.0.0"}, {("p", "1.5.0"): "q>=2"})
    assert fix_plan.plan({"p": "1.0.0", "q": "1.0.0"}, facts=too_old) == fix_plan.NOTHING


def test_what_an_installer_moves_along_is_judged_too(known: Put) -> None:
    known(
        row("a", '[{p = "<1.5"}]'),
        row("hub", '[{huggingface-hub = ">=1", q = "*"}]'.replace('"*"', '">=0"'), stops=True),
    )
    moves = facts({"p": "1.0.0 1.5.0"}, {("p", "1.5.0"): "huggingface-hub>=1.0"})
    installed = {"p": "1.0.0", "huggingface-hub": "0.30.0"}
    plan = fix_plan.plan(installed, facts=moves)
    assert plan.versions == {"p": "1.5.0", "huggingface-hub": "1.0"}
    assert fix_plan.plan({**installed, "q": "1.0"}, facts=moves) == fix_plan.NOTHING


def test_what_was_refused_is_not_proposed_again(known: Put) -> None:
    known(row("a", '[{p = "<1.5"}]'))
    first, second, *_ = fix_plan.plans({"p": "1.4.0"}, facts=P)
    assert (first.requirements, second.requirements) == (("p~=1.5.1",), ("p~=1.7.0",))
    again = fix_plan.plan({"p": "1.4.0"}, facts=P, refused=[first.requirements])
    assert again == second


def test_an_installers_own_choice_is_described_as_it_is(known: Put) -> None:
    known(row("a", '[{p = "<1.5"}]'), row("b", '[{q = ">=2"}]'))
    wanted = fix_plan.plan({"p": "1.0", "q": "1.0"}, facts=P)
    real = fix_plan.between({"p": "1.0", "q": "1.0"}, {"p": "1.5.1", "q": "2.0"}, wanted, facts=P)
    assert (real.requirements, real.fixes, real.brings) == (wanted.requirements, ("a",), ("b",))


# Bounds of the machine.


def test_a_downgrade_of_a_package_without_known_releases_is_a_bound(known: Put) -> None:
    fix = '{ install = ["huggingface-hub<1"] }'
    known(row("a", '[{p = "<5", huggingface-hub = ">=1"}]', fix, stops=True))
    plan = fix_plan.plan({"p": "4.0", "huggingface-hub": "1.3"}, facts=facts({"p": "4.0.0"}))
    assert (plan.requirements, plan.fixes) == (("huggingface-hub<1",), ("a",))
    assert plan.changes[0].version is None


def test_packages_built_for_a_torch_are_upgraded_with_it(known: Put) -> None:
    known(row("a", '[{torch = "<2.6"}]', stops=True))
    installed = {"torch": "2.5.1", "torchvision": "0.20.1"}
    assert fix_plan.plan(installed, facts=NONE).requirements == ("torch~=2.6.0", "torchvision")


def test_an_operating_system_is_not_a_requirement(known: Put) -> None:
    known(row("a", '[{macos = "<15", python = "<3.12"}]', stops=True))
    assert fix_plan.plan({"macos": "14.1", "python": "3.11"}, facts=NONE).requirements == ()


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
    known(row("a", '[{torch = "<2.15"}]', stops=True))
    assert fix_plan.plan({"torch": "2.13.0", **machine}, facts=NONE).requirements == requirements


def test_a_bug_that_only_a_mac_has_counts_on_a_mac_only(known: Put) -> None:
    known(row("a", '[{p = "<1.5"}]').replace('entry = "import"', 'entry = "mps"\nneeds = "mps"'))
    assert fix_plan.plan({"p": "1.4.0"}, facts=P) == fix_plan.NOTHING
    assert fix_plan.plan({"p": "1.4.0", "macos": "15.1"}, facts=P).fixes == ("a",)


def test_ignored_bugs_are_not_in_the_plan() -> None:
    all_but = [bug.id for bug in bugs.load() if bug.id != "accelerate-n-shard-typo"]
    assert fix_plan.plan(GUIDE, all_but).requirements == ("accelerate~=1.8.1",)


def test_the_fix_of_one_bug_looks_at_that_bug_alone() -> None:
    (change,) = fix_plan.changes_for(bugs.get("accelerate-n-shard-typo"), GUIDE)
    assert (change.requirement, change.before) == ("accelerate~=1.8.1", "1.8.0")
    assert fix_plan.changes_for(bugs.get("accelerate-empty-epoch"), GUIDE) == ()


def test_a_command_is_quoted_for_a_shell() -> None:
    assert fix_plan.as_shell(["pip", "a~=1.0"]) == "pip 'a~=1.0'"
