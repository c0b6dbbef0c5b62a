"""Finding result files: patterns and loops of links."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay.errors import UserError
from metalassay.results import find_files, load

DATA = Path(__file__).parents[1] / "data" / "runs"
M4 = (DATA / "constructed_benchmarks_m4.json").read_bytes()
LINUX = (DATA / "constructed_benchmarks_linux.json").read_bytes()


def tree(folder: Path) -> Path:
    """Write two results, two levels deep, and a file that is not a result."""
    for name, content in (("a/x.json", M4), ("a/b/y.json", LINUX), ("a/b/notes.txt", b"no")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def named(pattern: object) -> list[str]:
    return [Path(source.shown).name for source in find_files.find([str(pattern)])]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("**/*.json", ["x.json", "y.json"]),
        ("a/*.json", ["x.json"]),
        ("*/*/y.jso?", ["y.json"]),
        ("a/**/[xy].json", ["x.json", "y.json"]),
        (
            "**/notes.txt",
            ["notes.txt"],
        ),  # a file that a pattern matches is read whatever its suffix
    ],
)
def test_a_quoted_pattern_is_expanded(tmp_path: Path, pattern: str, found: list[str]) -> None:
    assert named(tree(tmp_path) / pattern) == found


def test_a_folder_is_read_with_what_runs_leave_beside_verdicts(tmp_path: Path) -> None:
    for name in ("x.json", "x.partial", "x.unfinished", "x.txt", ".y.partial", "x.json.part"):
        (tmp_path / name).write_bytes(M4)
    assert named(tmp_path) == ["x.json", "x.partial", "x.unfinished"]
    assert named(tmp_path / "*.json") == ["x.json"]


def test_a_pattern_without_a_match_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing matches"):
        named(tree(tmp_path) / "a" / "*.jsonl")


def test_a_file_whose_name_looks_like_a_pattern_is_found(tmp_path: Path) -> None:
    (tmp_path / "x[1].json").write_bytes(M4)
    assert named(tmp_path / "x[1].json") == ["x[1].json"]


def test_a_pattern_walks_a_loop_of_links_once(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    try:
        (folder / "a" / "again").symlink_to(folder)
        (folder / "a" / "once-more").symlink_to(folder)
        (folder / "self.json").symlink_to(folder / "self.json")
    except OSError as error:  # Windows requires a privilege
        pytest.skip(f"cannot make a symbolic link here: {error}")
    loaded = load.load([str(folder / "**" / "*.json")])
    assert loaded.measured == 5
    (warning,) = loaded.warnings
    assert warning.startswith(f"{folder / 'self.json'}: cannot be read: ")


@pytest.mark.parametrize(
    ("path", "pattern", "found"),
    [
        ("a/b/c", "**/c", True),
        ("c", "**/c", True),
        ("a/b/c", "a/**", True),
        ("a/b/c", "a/*", False),
        ("a/b/c", "a/**/**/c", True),
        ("a/b", "a/b/c", False),
        ("A", "a", False),
    ],
)
def test_two_stars_match_any_number_of_folders(path: str, pattern: str, found: bool) -> None:
    assert find_files.matches(path.split("/"), pattern.split("/")) is found
