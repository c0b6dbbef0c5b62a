"""The release tool: what keeps a tree from being released, the home in one place, and the changelog's sections."""

from __future__ import annotations

import re
import shutil
import tomllib
from datetime import date
from pathlib import Path

import pytest
import release

HOME = "https://example.invalid/owner/metalassay"
FILES = (
    "CHANGELOG.md",
    "CITATION.cff",
    "README.md",
    "pyproject.toml",
    "src/metalassay/__init__.py",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return the files that a release is decided by, as they are here."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(release.ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def ready(tree: Path) -> Path:
    """Return a tree that can be released as 9.8.7."""
    release.cut("9.8.7", date(2027, 1, 2), tree)
    release.set_home(HOME, tree)
    return tree


def test_a_tree_with_a_home_and_a_cut_version_can_be_released(ready: Path) -> None:
    assert list(release.problems(ready, "v9.8.7")) == []
    assert release.version(ready) == "9.8.7"


def test_without_a_home_nothing_is_released(tree: Path) -> None:
    release.cut("9.8.7", date(2027, 1, 2), tree)
    (problem,) = release.problems(tree, "v9.8.7")
    assert "decide where the project lives" in problem


@pytest.mark.parametrize("tag", ["v9.8.8", "9.8.7", "v9.8.7rc1"])
def test_another_tag_than_the_version_is_refused(ready: Path, tag: str) -> None:
    (problem,) = release.problems(ready, tag)
    assert problem == f"the tag is {tag}, and the version is 9.8.7: the tag has to be v9.8.7"


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        ("CHANGELOG.md", "## [9.8.7] - 2027-01-02", "## [9.8.7]", "has no date"),
        ("CHANGELOG.md", "## [9.8.7] - 2027-01-02", "## [9.8.6] - 2027-01-02", "no section [9.8.7]"),
        ("CITATION.cff", "version: 9.8.7", "version: 9.8.6", "CITATION.cff does not say"),
        ("pyproject.toml", f'Issues = "{HOME}/issues"', 'Issues = "https://x.invalid"', "does not follow"),
        ("pyproject.toml", "blob/main", "blob/trunk", "does not follow"),
        ("src/metalassay/__init__.py", "9.8.7", "9.8.7.dev0", "a release has one such as 0.1.0"),
        ("src/metalassay/__init__.py", "9.8.7", "nine", "which no index takes"),
    ],
)  # fmt: skip
def test_what_does_not_agree_is_named(
    ready: Path, name: str, before: str, after: str, said: str
) -> None:
    path = ready / name
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after), "utf-8")
    assert any(said in problem for problem in release.problems(ready))


def test_the_readme_on_an_index_has_absolute_links_and_images(ready: Path) -> None:
    project = tomllib.loads((ready / "pyproject.toml").read_text("utf-8"))
    rules = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]
    text = release.substituted((ready / "README.md").read_text("utf-8"), rules)
    assert f"]({HOME}/blob/main/docs/run.md)" in text
    assert re.search(rf"!\[[^\]]+\]\({HOME}/raw/main/docs/report\.png\)", text)
    assert "](#send-your-macs-numbers)" in text
    assert not release.LINK.search(text)
    assert release.LINK.search((ready / "README.md").read_text("utf-8"))


def test_the_home_is_written_once_and_again(tree: Path) -> None:
    release.set_home("https://example.invalid/other/metalassay", tree)
    release.set_home(HOME, tree)
    text = (tree / "pyproject.toml").read_text("utf-8")
    assert "other/metalassay" not in text
    before = tomllib.loads((release.ROOT / "pyproject.toml").read_text("utf-8"))
    after = tomllib.loads(text)
    assert after["project"].pop("urls") == release.urls_of(HOME)
    hook = after["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    assert hook.pop("substitutions") == release.substitutions_of(HOME)
    before["project"].pop("urls", None)
    before["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"].pop("substitutions", None)
    assert after == before


@pytest.mark.parametrize(
    "home", ["http://a.invalid/b/c", "https://a.invalid", "https://a.invalid/b/c/", "c"]
)
def test_what_is_no_home_is_refused(tree: Path, home: str) -> None:
    before = (tree / "pyproject.toml").read_bytes()
    with pytest.raises(SystemExit, match="is no home"):
        release.set_home(home, tree)
    assert (tree / "pyproject.toml").read_bytes() == before


def test_a_version_is_cut_once(ready: Path) -> None:
    with pytest.raises(SystemExit, match="already"):
        release.cut("9.8.7", date(2027, 1, 2), ready)
    for wrong in ("nine", "v1", "1.0.0.0-x"):
        with pytest.raises(SystemExit):
            release.cut(wrong, date(2027, 1, 2), ready)
    assert (ready / "CHANGELOG.md").read_text("utf-8").count("## [Unreleased]") == 1


def test_the_notes_are_the_section_of_the_version() -> None:
    text = "# Changelog\n\n## [Unreleased]\n\nnew\n\n## [0.2.0] - 2027-01-01\n\n- two\n\n## [0.1.0] - 2026-01-01\n\n- one\n\n[0.1.0]: https://x.invalid\n"
    assert release.notes(text, "0.2.0") == "- two"
    assert release.notes(text, "0.1.0") == "- one"
    with pytest.raises(SystemExit, match="no section"):
        release.notes(text, "0.3.0")
