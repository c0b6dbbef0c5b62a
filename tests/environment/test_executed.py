"""A set counts as executed, or as lying between executed sets, by a rule without exceptions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from metalassay import bugs
from metalassay.environment import executed
from metalassay.environment.executed import FULL, QUICK, Executed, Row

SAME = {"python": "3.11.7", "torch": "2.13.0+cpu", "transformers": "4.52.4", "numpy": "2.4.6"}


def row(name: str, accelerate: str, *broken: str, scope: str = FULL, **versions: str) -> Row:
    """Return an executed row of ``SAME`` with a release of accelerate."""
    made = {**SAME, "accelerate": accelerate, **versions}
    return Row(name, scope, "Linux", made, frozenset(broken))


ROWS = (
    row("a", "1.2.0", "old-bug"),
    row("b", "1.4.0"),
    row("quick", "1.7.0", scope=QUICK),
    row("c", "1.8.0", trl="0.18.2"),
    row("d", "1.9.0", scope=QUICK),
    row("e", "1.11.0", "new-bug"),
)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let these rows be all that was executed."""
    monkeypatch.setattr(executed, "load", lambda: ROWS)
    executed._all_keys.cache_clear()
    yield
    executed._all_keys.cache_clear()


def find(accelerate: str, **others: str) -> Executed | None:
    """Find ``SAME`` with a release of accelerate and other packages."""
    return executed.find({**SAME, "accelerate": accelerate, **others})


def test_an_installed_set_is_executed_if_a_row_has_every_package_of_it() -> None:
    assert find("1.8.0") == Executed(("c",), FULL, "Linux")  # the row's trl does not matter
    assert find("1.8.0", trl="0.18.2") == Executed(("c",), FULL, "Linux")
    assert find("1.8.0", trl="0.18.3") is None
    assert find("1.8.0", peft="0.17.0") is None  # what no row had beside these
    assert find("1.8.0", setuptools="80") == Executed(("c",), FULL, "Linux")
    assert find("1.9.0") == Executed(("d",), QUICK, "Linux")


@pytest.mark.parametrize(
    ("package", "version", "same"),
    [
        ("torch", "2.13.1", True),
        ("torch", "2.12.1", False),
        ("numpy", "2.1.0", True),
        ("numpy", "1.26.4", False),
        ("python", "3.11.2", True),
        ("python", "3.12.1", False),
        ("accelerate", "1.8", True),
        ("accelerate", "1.8.0.post1", True),
        ("accelerate", "1.8.0rc1", False),
        ("accelerate", "1.8.0.dev0", False),
        ("accelerate", "main", False),
        ("transformers", "4.52.3", False),
    ],
)  # fmt: skip
def test_patch_releases_count_for_some_packages_and_not_for_others(
    package: str, version: str, same: bool
) -> None:
    found = executed.find({**SAME, "accelerate": "1.8.0", package: version})
    assert (found == Executed(("c",), FULL, "Linux")) is same


def test_a_set_lies_between_the_nearest_full_rows_if_they_showed_the_same_bugs() -> None:
    assert find("1.6.0") == Executed(("b", "c"), FULL, "Linux", between="accelerate")
    assert find("1.3.0") is None  # a and b showed different bugs
    assert find("1.10.0") is None  # d is quick, c and e differ
    assert find("1.0.0") is None  # older than all
    assert find("1.12.0") is None  # newer than all
    assert find("1.6.0", trl="0.18.2") is None  # b had no trl
    assert find("1.6.0rc1") is None
    two = executed.find({**SAME, "accelerate": "1.6.0", "transformers": "4.52.3"})
    assert two is None  # two packages differ


def test_without_a_package_that_decides_nothing_is_found() -> None:
    assert executed.find({}) is None
    assert executed.find({"python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6"}) is None


def test_it_is_described_in_words() -> None:
    assert str(find("1.8.0")) == "executed on Linux (row c)"
    assert str(find("1.9.0")) == "executed without the slow tests on Linux (row d)"
    assert str(find("1.6.0")) == "accelerate lies between two executed sets (b, c)"


def test_the_data_can_be_read_and_name_known_bugs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    executed._all_keys.cache_clear()
    rows = executed.load()
    assert len(rows) > 20
    assert {each.scope for each in rows} == {FULL, QUICK}
    known = {bug.id for bug in bugs.load()}
    for each in rows:
        assert each.broken <= known
        assert set(each.versions) <= set(executed.DECISIVE)
        found = executed.find(each.versions)
        assert found is not None
        assert found.between == ""
