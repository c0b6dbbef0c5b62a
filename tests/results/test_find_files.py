"""Where result files are: patterns, loops of links, object stores."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metalassay.errors import UserError
from metalassay.results import find_files, load, object_stores, source

DATA = Path(__file__).parents[1] / "data" / "runs"
M4 = (DATA / "constructed_benchmarks_m4.json").read_bytes()
LINUX = (DATA / "constructed_benchmarks_linux.json").read_bytes()


def tree(folder: Path) -> Path:
    """Write two results, two levels deep, and a file that is none."""
    for name, content in (("a/x.json", M4), ("a/b/y.json", LINUX), ("a/b/notes.txt", b"no")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def named(pattern: object) -> list[str]:
    return [Path(each.shown).name for each in find_files.find([str(pattern)])]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("**/*.json", ["x.json", "y.json"]),
        ("a/*.json", ["x.json"]),
        ("*/*/y.jso?", ["y.json"]),
        ("a/**/[xy].json", ["x.json", "y.json"]),
        ("**/notes.txt", ["notes.txt"]),  # what a pattern names is read whatever its suffix
    ],
)
def test_a_pattern_in_quotes_is_expanded(tmp_path: Path, pattern: str, found: list[str]) -> None:
    assert named(tree(tmp_path) / pattern) == found


def test_a_pattern_that_nothing_matches_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing matches"):
        named(tree(tmp_path) / "a" / "*.jsonl")


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "x[1].json").write_bytes(M4)
    assert named(tmp_path / "x[1].json") == ["x[1].json"]


def test_a_pattern_walks_a_loop_of_links_once(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    try:
        (folder / "a" / "again").symlink_to(folder)
        (folder / "a" / "once-more").symlink_to(folder)
        (folder / "self.json").symlink_to(folder / "self.json")
    except OSError as error:  # Windows asks for a privilege
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
def test_two_stars_are_any_number_of_folders(path: str, pattern: str, found: bool) -> None:
    assert find_files.matches(path.split("/"), pattern.split("/")) is found


def test_an_object_store_is_read_like_a_folder() -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra fleet is not installed")
    store = fsspec.filesystem("memory")
    for name, content in (
        ("/fleet/m4/a.json", M4),
        ("/fleet/linux/b.json", LINUX),
        ("/fleet/linux/._b.json", b"\0"),
        ("/fleet/notes.txt", b"no"),
        ("/fleet/bad.json", b"{"),
    ):
        store.pipe_file(name, content)
    try:
        loaded = load.load(["memory://fleet"])
        assert loaded.measured == 5
        (warning,) = loaded.warnings
        assert warning.startswith("memory:///fleet/bad.json: not JSON")
        assert {one.file for one in loaded.measurements} == {
            "memory:///fleet/m4/a.json",
            "memory:///fleet/linux/b.json",
        }
        # a pattern, a file, and each once
        loaded = load.load(["memory://fleet/m4/*.json", "memory://fleet/m4/a.json"])
        assert (loaded.measured, loaded.warnings) == (3, ())
        with pytest.raises(UserError, match="there is nothing at memory://nowhere"):
            load.load(["memory://nowhere"])
    finally:
        store.rm("/fleet", recursive=True)


def test_a_file_too_large_in_an_object_store_is_not_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra fleet is not installed")
    store = fsspec.filesystem("memory")
    store.pipe_file("/large/a.json", M4)
    monkeypatch.setattr(object_stores, "LARGEST", 100)
    monkeypatch.setattr(source, "LARGEST", 100)
    monkeypatch.setattr(type(store), "cat_file", lambda *_, **__: pytest.fail("fetched"))
    try:
        (warning,) = load.load(["memory://large"]).warnings
        assert warning.startswith("memory:///large/a.json: too large for a result")
    finally:
        store.rm("/large", recursive=True)


def test_without_fsspec_an_object_store_is_one_line_with_the_fix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UserError) as caught:
        load.load(["s3://bucket/runs"])
    assert caught.value.message == "cannot read s3://bucket/runs: fsspec is not installed"
    assert caught.value.next_step == "pip install 'metalassay[fleet]'"


def test_a_store_whose_package_is_missing_is_one_line_with_the_fix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra fleet is not installed")

    def missing(_: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(
        UserError, match=r"Install s3fs to access S3 \(pip install 'metalassay\[fleet"
    ):
        load.load(["s3://bucket/runs"])


def test_a_store_that_refuses_is_one_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra fleet is not installed")

    class NoCredentialsError(Exception):
        """As botocore's, which is no OSError."""

    def refuse(*_: object, **__: object) -> None:
        raise NoCredentialsError("Unable to locate\ncredentials")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "find", refuse)
    with pytest.raises(UserError) as caught:
        load.load(["memory://fleet"])
    assert caught.value.message == (
        "cannot read memory://fleet: NoCredentialsError: Unable to locate credentials"
    )


def test_a_store_that_fsspec_does_not_know_is_the_users_error() -> None:
    pytest.importorskip("fsspec", reason="the extra fleet is not installed")
    with pytest.raises(UserError, match="cannot read s4://bucket: Protocol not known"):
        load.load(["s4://bucket"])
