"""What stands in the way of a release."""

from __future__ import annotations

import re
from pathlib import Path

import ci_release
import pytest

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n- New.\n\n## [0.1.0]\n\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "src/metalassay").mkdir(parents=True)
    (tmp_path / "src/metalassay/__init__.py").write_text('"""Text."""\n\n__version__ = "0.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nHomepage = "https://example.org"\n')
    return tmp_path


def test_a_tag_that_is_the_version_can_be_released_with_its_notes(root: Path) -> None:
    assert ci_release.problems(root, "v0.2.0") == []
    assert ci_release.section(root, "0.2.0") == "- New."


@pytest.mark.parametrize(
    ("tag", "problems"),
    [
        ("0.2.0", ["no tag of a release"]),
        ("v0.2.0; rm -rf .", ["no tag of a release"]),
        ("v0.2.1", ["the tag is v0.2.1, and", r"no section \[0.2.1\]"]),
        ("v0.1.0", ["the tag is v0.1.0, and", "or an empty one"]),
    ],
)
def test_another_tag_is_refused_with_every_reason(
    root: Path, tag: str, problems: list[str]
) -> None:
    found = ci_release.problems(root, tag)
    assert len(found) == len(problems)
    for line, problem in zip(found, problems, strict=True):
        assert re.search(problem, line)


def test_a_project_without_a_home_is_not_released(root: Path) -> None:
    (root / "pyproject.toml").write_text("[project]\nname = 'metalassay'\n")
    (found,) = ci_release.problems(root, "v0.2.0")
    assert found.startswith("pyproject.toml has no [project.urls]")


def test_notes_of_a_missing_version_are_one_line() -> None:
    with pytest.raises(SystemExit, match=r"no section for v99\.0\.0"):
        ci_release.main(["notes", "v99.0.0"])
