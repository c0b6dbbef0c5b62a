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


def linked(place: Path, target: Path) -> None:
    try:
        place.symlink_to(target)
    except OSError as error:  # Windows requires a privilege
        pytest.skip(f"cannot make a symbolic link here: {error}")


@pytest.mark.parametrize("pattern", ["", "**/*.json", "*/*/*.json"])
def test_a_link_out_of_the_folder_is_left_out_and_told(tmp_path: Path, pattern: str) -> None:
    inside, outside = tree(tmp_path / "in"), tree(tmp_path / "out")
    linked(inside / "a" / "b" / "z.json", outside / "a" / "x.json")
    linked(inside / "a" / "elsewhere", outside)
    linked(inside / "a" / "proc", Path("/proc/self"))
    linked(inside / "a" / "near", inside / "a" / "b")  # stays below, and its files are there once
    loaded = load.load([str(inside / pattern)])
    (warning,) = loaded.warnings
    assert warning == (
        f"{inside}: 3 links out of it were not followed; the first is {inside / 'a' / 'elsewhere'}"
        " (to read it, name it too)"
    )
    assert loaded.measured == (2 if pattern == "*/*/*.json" else 5)


def test_a_link_out_of_the_folder_is_read_where_it_is_named(tmp_path: Path) -> None:
    inside, outside = tree(tmp_path / "in"), tree(tmp_path / "out")
    linked(inside / "more", outside)
    found = [source.shown for source in find_files.find([str(inside / "more")])]
    assert found == [str(inside / "more/a/x.json"), str(inside / "more/a/b/y.json")]


def test_a_folder_of_too_many_files_is_the_users_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_files, "MOST_NAMES", 5)  # the tree has five files and folders
    assert len(named(tree(tmp_path))) == 2
    (tmp_path / "a" / "b" / "one-more.txt").touch()
    with pytest.raises(UserError, match="has more than 5 files and folders") as caught:
        named(tmp_path)
    assert "name the folders" in str(caught.value.next_step)


def test_a_folder_that_takes_too_long_is_the_users_error_before_a_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, read = tree(tmp_path), list[str]()
    now = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    monkeypatch.setattr(find_files, "MOST_SECONDS", 4.0)
    with pytest.raises(UserError, match="4 s did not suffice to list it"):
        read.extend(source.shown for source in find_files.find([folder]))
    assert read == []


def test_a_folder_too_deep_is_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_files, "DEEPEST", 2)
    loaded = load.load([tree(tmp_path)])
    (warning,) = loaded.warnings
    assert warning == (
        f"{tmp_path}: a folder in it was not followed; it is {tmp_path / 'a' / 'b'}"
        " (more than 2 folders deep; to read it, name it too)"
    )
    assert loaded.measured == 3


def test_a_file_address_is_a_path(tmp_path: Path) -> None:
    folder = tree(tmp_path / "of mine")
    assert named(f"file://{str(folder).replace(' ', '%20')}") == ["x.json", "y.json"]


def test_files_named_one_by_one_are_those_that_a_quoted_pattern_matches(tmp_path: Path) -> None:
    for name in ("a.json", "b.json", "[c].json"):
        (tmp_path / name).write_text("{}")
    names = [tmp_path / "*.json", tmp_path / "missing.json", tmp_path / "[c].json"]
    found = [path.name for path in find_files.named(names)]
    assert found == ["[c].json", "a.json", "b.json", "missing.json", "[c].json"]
    with pytest.raises(UserError, match="nothing matches"):
        find_files.named([tmp_path / "*.txt"])
    with pytest.raises(UserError, match="File name too long"):
        find_files.named([tmp_path / ("x" * 300)])


def test_no_pattern_takes_long(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="longer than the name of a file can be"):
        list(find_files.find(["[" * 100_000]))
    parts = ["a"] * 60
    assert not find_files.matches(parts, ["**", "a"] * 25 + ["b"])
    assert find_files.matches(parts, ["**", "a"] * 25)
    assert find_files.matches(["a", "b"], ["**", "a", "**", "b", "**"])
    assert not find_files.matches(["a", "b"], ["a"])
    assert not find_files.matches([], ["a"])
