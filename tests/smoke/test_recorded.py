"""The recorded sets of the smoke test: they are those of the evidence, and only the same set is found."""

from __future__ import annotations

import pytest

from metalassay import bugs
from metalassay.smoke import parent, recorded
from metalassay.smoke.recorded import Recorded


def test_every_set_has_the_stages_of_the_smoke_test_and_known_bugs() -> None:
    sets = recorded.load()
    assert len({each.row for each in sets}) == len(sets) > 0
    ids = {bug.id for bug in bugs.load()}
    for each in sets:
        broken = {one.stage for one in each.broken}
        assert {*each.passed, *broken} <= {*parent.STAGES}
        assert not broken & {*each.passed}
        assert all(one.error for one in each.broken)
        assert {one.bug for one in each.broken} <= {*ids, ""}
        assert "torch" in each.versions


@pytest.mark.parametrize("one", recorded.load(), ids=lambda one: one.row)
def test_a_set_finds_itself_or_one_with_the_same_packages(one: Recorded) -> None:
    found = recorded.find({**one.versions, "torch": f"{one.versions['torch']}+cpu", "numpy": "1"})
    assert found is not None
    assert {**one.versions} == {**found.versions}


def test_another_version_of_one_package_was_not_executed() -> None:
    for one in recorded.load():
        for package in one.versions:
            found = recorded.find({**one.versions, package: "0.0.1"})
            assert found is None or package not in found.versions


def test_a_package_that_a_set_has_not_says_nothing_of_it() -> None:
    one = next(each for each in recorded.load() if "trl" not in each.versions)
    found = recorded.find({**one.versions, "trl": "0.0.1"})
    assert found is not None
    assert "trl" not in found.versions


def test_nothing_installed_finds_nothing() -> None:
    assert recorded.find({}) is None
