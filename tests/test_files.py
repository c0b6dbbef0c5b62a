"""A file is written completely or not at all."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay import files
from metalassay.errors import UserError


def test_missing_folders_are_created_and_the_text_is_written(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.json"
    files.write_atomically(target, "größer\n")
    assert target.read_text("utf-8") == "größer\n"


def test_a_crash_before_the_rename_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.md"
    target.write_text("old")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]


@pytest.fixture
def irregular(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Return what is at a path and is no regular file, by what it is."""
    found = {"folder": tmp_path / "folder", "loop": tmp_path / "loop"}
    found["folder"].mkdir()
    found["loop"].symlink_to(found["loop"])
    if hasattr(os, "mkfifo"):
        found["pipe"] = tmp_path / "pipe"
        os.mkfifo(found["pipe"])
    for name in ("null", "zero", "full"):
        if Path("/dev", name).exists():
            found[name] = tmp_path / name
            found[name].symlink_to(f"/dev/{name}")
    place = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(tmp_path)  # the whole path may be too long for a socket
    place.bind("socket")
    place.close()
    found["socket"] = tmp_path / "socket"
    return found


def test_what_is_not_a_regular_file_is_neither_read_nor_written(irregular: dict[str, Path]) -> None:
    for path in irregular.values():
        before = os.lstat(path)
        for act in (
            lambda path=path: files.write_atomically(path, "text"),
            lambda path=path: files.content(path),
        ):
            with pytest.raises(OSError, match=r"not a regular file|Is a directory|symbolic links"):
                act()
        for check in (files.check_writable, files.read_bytes, files.read_json, files.read_toml):
            with pytest.raises(UserError, match="another"):
                check(path, "name another")
        assert os.lstat(path).st_ino == before.st_ino
    assert not list(irregular["folder"].parent.glob(".*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 200_000, "nested too deeply|is not TOML"),
        (b"x = " + b"[" * 200_000, "nested too deeply|is not JSON"),
        (b"1" * 5000, "is not (JSON|TOML)"),
        (b"x = " + b"1" * 5000, "is not (JSON|TOML)"),
        (b"\xff", r"is not text in UTF-8 \(byte 0\)"),
        (b"{", "is not (JSON|TOML)"),
        (b'"\x1b[31m' + b"x" * 1000, "is not (JSON|TOML)"),
    ],
)
def test_hostile_content_is_one_short_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x\x1b]0;title\x07\n.json"
    path.write_bytes(content)
    for read in (files.read_json, files.read_toml):
        with pytest.raises(UserError, match=message) as caught:
            read(path, "name another")
        text = caught.value.message
        assert text.isprintable()
        assert len(text) < 500


def test_a_file_that_is_too_large_is_refused_without_being_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as stream:
        stream.truncate(2**40)  # a hole, no content
    with pytest.raises(OSError, match="larger than 256 MiB"):
        files.content(path)


@pytest.mark.parametrize("name", ["", ".", "x" * 300, "a\0b"])
def test_a_name_that_no_file_can_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match=r".+"):
        files.write_atomically(Path(name), "text")
    with pytest.raises(UserError):
        files.check_writable(Path(name), "name another")
    assert not list(tmp_path.iterdir())


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("\N{GRINNING FACE}" * 63)
    files.check_writable(path, "name another")
    files.write_atomically(path, "text")
    assert path.read_text() == "text"


def test_whether_a_file_could_be_written_is_found_without_leaving_anything(tmp_path: Path) -> None:
    files.check_writable(tmp_path / "a" / "b" / "c.json", "name another")
    (tmp_path / "file").write_text("old")
    files.check_writable(tmp_path / "file", "name another")
    with pytest.raises(UserError, match="Not a directory"):
        files.check_writable(tmp_path / "file" / "below.json", "name another")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_link_keeps_its_place_and_its_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "there" / "file"
    target.parent.mkdir()
    target.write_text("old")
    link = tmp_path / "link"
    link.symlink_to(target)
    files.write_atomically(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_link_to_nothing_makes_the_file_that_it_names(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "new")
    files.write_atomically(link, "text")
    assert link.is_symlink()
    assert (tmp_path / "new").read_text() == "text"


def test_standard_input_is_read_where_it_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"12345678")))
    with pytest.raises(UserError, match="cannot read -: No such file"):
        files.read_bytes(Path("-"), "name another")
    with pytest.raises(UserError, match="cannot read -: larger than"):
        files.read_bytes(Path("-"), "name another", most=3, or_stdin=True)
    assert files.read_bytes(Path("-"), "name another", or_stdin=True) == b"5678"


def test_dotted_keys_without_end_are_refused_and_not_parsed_for_hours(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    for text in ("a." * 500_000 + "a = 1", "[" + "a . " * 300_000 + "a]", "b = {" + "a." * 500_000):
        path.write_text(text, "utf-8")
        with pytest.raises(UserError, match="nested too deeply"):
            files.read_toml(path, "fix it")
    # Neither a long word nor a long version is one.
    path.write_text(f"{'a' * 500_000} = 1\nb = '{'1.' * 50}'", "utf-8")
    assert files.read_toml(path, "fix it")["b"] == "1." * 50


TORN = """
import sys
from pathlib import Path
from metalassay.files import replacing
with replacing(Path(sys.argv[1])) as stream:
    stream.write("half")
    stream.flush()
    print("ready", flush=True)
    sys.stdin.readline()
    stream.write(" and whole")
"""


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_what_a_killed_process_left_is_cleared_by_the_next_that_writes_there(
    tmp_path: Path,
) -> None:
    target = tmp_path / "report.md"
    mine = tmp_path / ".report.md.of-mine.part"
    mine.touch()
    with subprocess.Popen(
        [sys.executable, "-c", TORN, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"ready\n"
        killed.kill()
    assert len(hidden(tmp_path)) == 2
    files.write_atomically(tmp_path / "other.md", "x")  # another target is none of its business
    assert len(hidden(tmp_path)) == 2
    files.write_atomically(target, "whole")
    assert hidden(tmp_path) == [mine.name]


def test_what_another_process_is_writing_is_not_cleared(tmp_path: Path) -> None:
    target = tmp_path / "report.md"
    with subprocess.Popen(
        [sys.executable, "-c", TORN, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"ready\n"
        files.write_atomically(target, "mine")
        assert target.read_text() == "mine"
        assert len(hidden(tmp_path)) == 1
        other.stdin.write(b"\n")
        other.stdin.close()
    assert other.returncode == 0
    assert target.read_text() == "half and whole"
    assert hidden(tmp_path) == []


def test_many_writers_of_one_file_never_lose_one_another(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from metalassay.files import write_atomically\n"
        "for _ in range(150): write_atomically(Path(sys.argv[1]), 'whole')"
    )
    target = str(tmp_path / "report.md")
    writers = [subprocess.Popen([sys.executable, "-c", program, target]) for _ in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]


def test_a_thousand_missing_folders_are_a_name_that_is_too_long(tmp_path: Path) -> None:
    deep = tmp_path / ("a/" * 1900)
    for act in (files.make_folder, lambda path: files.write_atomically(path / "x", "text")):
        with pytest.raises(OSError, match="File name too long"):
            act(deep)
    assert not list(tmp_path.iterdir())
    files.make_folder(tmp_path / "b" / "c")
    assert (tmp_path / "b" / "c").is_dir()
