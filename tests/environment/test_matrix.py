"""matrix.toml: rows that can be told apart, say why they are there, and cover the known bugs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from metalassay import bugs
from metalassay.environment import matrix, versions
from metalassay.errors import UserError

ROOT = Path(__file__).parents[2]
ROWS = matrix.load(ROOT)
# Bugs without rows on both sides, and why.
OUTSIDE_THE_MATRIX = {
    "transformers4-needs-hub-below-1": "no resolver installs the affected pair: row guide-3-today"
}
TAGS = {"quick", "boundary", "edge", "guide", "newest", "full"}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_says_what_it_installs_and_why(row: dict[str, object]) -> None:
    requirements = [Requirement(text) for text in row["requires"]]  # type: ignore[attr-defined]
    assert {"accelerate", "torch"} <= {requirement.name for requirement in requirements}
    assert row["reason"]
    assert set(row["tags"]) <= TAGS  # type: ignore[call-overload]
    assert "full" in row["tags"]  # type: ignore[operator]


def test_the_guides_environment_is_exactly_the_guides() -> None:
    guide = ROWS["guide"]
    assert guide["python"] == "3.11"
    assert guide["requires"] == ["accelerate==1.8.0", "torch==2.5.1", "transformers==4.52.4"]


def test_the_quick_rows_stand_on_both_sides_of_the_repair() -> None:
    quick = {row_id for row_id, row in ROWS.items() if "quick" in row["tags"]}
    assert quick == {f"accelerate-{v}" for v in ("1.1.1", "1.8.0", "1.8.1", "1.9.0", "1.15.0")}


def pins(row: dict[str, Any]) -> dict[str, str]:
    """Return the versions that a row fixes, by package."""
    found = {}
    for text in row["requires"]:
        requirement = Requirement(text)
        for specifier in requirement.specifier:
            if specifier.operator == "==":
                found[requirement.name] = specifier.version
    return found


@pytest.mark.parametrize("bug", bugs.load(), ids=lambda bug: bug.id)
def test_the_boundary_rows_stand_on_both_sides_of_every_bug(bug: bugs.Bug) -> None:
    if bug.id in OUTSIDE_THE_MATRIX:
        pytest.skip(OUTSIDE_THE_MATRIX[bug.id])
    if versions.MACOS in bug.packages:
        pytest.skip("shows on a Mac only, which no row of the matrix brings along")
    rows = [pins(row) for row in ROWS.values() if {"boundary", "guide"} & set(row["tags"])]
    packages = set().union(*bug.where) - {"python"}
    relevant = [row for row in rows if packages <= row.keys()]
    assert any(bug.hits(row) for row in relevant), "no boundary row is affected"
    newest = dict.fromkeys(packages, "999")
    if not bug.hits(newest):
        assert any(not bug.hits(row) for row in relevant), "no boundary row is healthy"


def test_without_a_row_the_environment_at_hand_is_meant() -> None:
    assert matrix.get(ROOT, None)["id"] == "as installed"


def test_an_unknown_row_and_a_broken_file_name_themselves(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no row 'nonsense'"):
        matrix.get(ROOT, "nonsense")
    with pytest.raises(UserError, match="is missing"):
        matrix.load(tmp_path)
    (tmp_path / "matrix.toml").write_text("[[row]\n")
    with pytest.raises(UserError, match=r"matrix\.toml: .*line 1"):
        matrix.load(tmp_path)
