"""The archive of a checkout: the same for the same files, complete, and unpacked as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import toy_checkout

from metalassay.errors import UserError
from metalassay.matrix import sources


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    root.mkdir()
    for name in sources.FILES:
        (root / name).write_text(name, "utf-8")
    for name in sources.FOLDERS:
        (root / name / "inner").mkdir(parents=True)
        (root / name / "inner" / "x.py").write_text(name, "utf-8")
    return root


def test_the_archive_does_not_depend_on_times_order_or_caches(checkout: Path) -> None:
    first = sources.pack(checkout)
    (checkout / "src" / "__pycache__").mkdir()
    (checkout / "src" / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"x")
    (checkout / "src" / "inner" / ".DS_Store").write_bytes(b"x")
    (checkout / "compat" / "a.pyc").write_bytes(b"x")
    os.utime(checkout / "src" / "inner" / "x.py", (1, 1))
    again = sources.pack(checkout)
    assert (again.name, again.content) == (first.name, first.content)


def test_a_changed_file_gives_another_name(checkout: Path) -> None:
    first = sources.pack(checkout)
    (checkout / "compat" / "inner" / "x.py").write_text("another", "utf-8")
    assert sources.pack(checkout).name != first.name


def test_unpacking_gives_the_same_files(checkout: Path, tmp_path: Path) -> None:
    archive = sources.pack(checkout)
    there = sources.unpack(archive.content, archive.name, tmp_path / "cache")
    assert there == tmp_path / "cache" / archive.name
    assert sources.pack(there).name == archive.name
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [archive.name]
    # What is there is not unpacked again: a wrong content would be noticed.
    assert sources.unpack(b"nonsense", archive.name, tmp_path / "cache") == there


def test_content_under_another_name_is_refused(checkout: Path, tmp_path: Path) -> None:
    archive = sources.pack(checkout)
    with pytest.raises(ValueError, match="are not 0123"):
        sources.unpack(archive.content, "0123", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_is_no_checkout_is_named(checkout: Path) -> None:
    (checkout / "matrix.toml").unlink()
    with pytest.raises(UserError, match=r"has no matrix\.toml"):
        sources.pack(checkout)


def test_a_folder_that_is_far_too_large_is_refused(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "LARGEST", 20_000)
    (checkout / "src" / "model.bin").write_bytes(bytes(30_000))
    with pytest.raises(UserError, match="move what is no source"):
        sources.pack(checkout)


def test_our_own_checkout_has_what_a_row_needs() -> None:
    names = {
        path.relative_to(toy_checkout.ROOT).as_posix() for path in sources.files(toy_checkout.ROOT)
    }
    assert {"matrix.toml", "conftest.py", "compat/conftest.py", "src/metalassay/py.typed"} <= names
