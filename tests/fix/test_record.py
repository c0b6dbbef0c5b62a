"""The record of an environment: what is kept, how it is read again, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import fix_environment
import pytest

from metalassay.errors import UserError
from metalassay.fix import distributions, record


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """Return an environment in a folder whose name is not simple, with two packages that share a file."""
    prefix = tmp_path / "mit leer, für uns"
    fix_environment.make(prefix)
    for name in ("one", "two"):
        fix_environment.install(
            prefix, name, "1.0", {f"{name}/__init__.py": "", "shared/__init__.py": "# shared\n"}
        )
    return prefix


def keep(prefix: Path, *files: Path) -> record.Record:
    """Record the present state."""
    return record.make(distributions.read(str(prefix / "bin" / "python")), ["pip"], files)


def test_a_record_is_read_as_it_was_written(prefix: Path) -> None:
    made = keep(prefix)
    assert record.load(prefix) == made
    assert made.lines == ("one==1.0", "two==1.0")
    assert record.write(made, record.DONE) == record.load(prefix)
    assert (prefix / ".metalassay" / ".gitignore").read_text() == "*\n"
    assert record.load(prefix.parent) is None


def test_files_are_kept_without_taking_space_but_those_that_several_packages_own(
    prefix: Path,
) -> None:
    made = keep(prefix)
    site = fix_environment.site(prefix)
    assert (site / "one" / "__init__.py").stat().st_nlink == 2
    assert (site / "one-1.0.dist-info" / "RECORD").stat().st_nlink == 1
    shared = site / "shared" / "__init__.py"
    assert shared.stat().st_nlink == 1
    state = fix_environment.tree(prefix)
    shared.write_text("written into, not replaced")
    assert record.differences(made) == (f"{shared.resolve()} is missing or changed",)
    assert record.restore(made) == ()
    assert fix_environment.tree(prefix) == state


def test_a_file_that_a_removed_package_shared_with_another_comes_back(prefix: Path) -> None:
    state = fix_environment.tree(prefix)
    made = keep(prefix)
    site = fix_environment.site(prefix)
    shutil.rmtree(site / "shared")
    shutil.rmtree(site / "two-1.0.dist-info")
    fix_environment.install(prefix, "three", "3", {"shared/__init__.py": "# third\n"})
    assert record.restore(made) == ()
    assert fix_environment.tree(prefix) == state


def test_what_was_compiled_from_another_version_is_forgotten(prefix: Path) -> None:
    made = keep(prefix)
    site = fix_environment.site(prefix)
    fix_environment.install(prefix, "one", "1.0", {"one/__init__.py": "2", "one/new/x.py": "3"})
    for folder, name in (("one", "__init__"), ("one/new", "x")):
        (site / folder / "__pycache__").mkdir()
        (site / folder / "__pycache__" / f"{name}.cpython-311.pyc").touch()
    assert record.restore(made) == ()
    assert not list((site / "one").rglob("*.pyc"))
    assert not (site / "one" / "new").exists()


def test_files_outside_of_the_environment_are_kept_too(prefix: Path, tmp_path: Path) -> None:
    outside = tmp_path / "share" / "data.txt"
    name = os.path.relpath(outside, fix_environment.site(prefix).resolve())
    fix_environment.install(prefix, "three", "3", {name: "data"})
    made = keep(prefix)
    assert made.outside == (str(outside),)
    outside.unlink()
    assert record.differences(made) == (f"{outside} is missing or changed",)
    assert record.restore(made) == ()
    assert outside.read_text() == "data"


def test_an_editable_package_keeps_its_source_and_a_data_file_goes_with_its_package(
    prefix: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "mine.py").write_text("1")
    fix_environment.install(
        prefix, "mine", "1", {"__editable__.mine.pth": str(source)},
        direct={"url": source.as_uri(), "dir_info": {"editable": True}},
    )  # fmt: skip
    state = fix_environment.tree(prefix)
    made = keep(prefix)
    assert f"-e {source.as_uri()}" in made.lines
    site = fix_environment.site(prefix)
    (site / "__editable__.mine.pth").unlink()
    shutil.rmtree(site / "mine-1.dist-info")
    up = os.path.relpath(prefix.resolve(), site.resolve())
    fix_environment.install(prefix, "mine", "2", {"mine.py": "2", f"{up}/share/mine.txt": "x"})
    assert record.restore(made) == ()
    assert fix_environment.tree(prefix) == state
    assert not (prefix / "share").exists()
    assert (source / "mine.py").read_text() == "1"


def test_our_own_files_stay_as_they_are(prefix: Path) -> None:
    fix_environment.install(prefix, "metalassay", "1")
    made = keep(prefix)
    for name in ("metalassay", "metalassay-1.dist-info"):
        shutil.rmtree(fix_environment.site(prefix) / name)
    fix_environment.install(prefix, "metalassay", "2", {"metalassay/new.py": "2"})
    now = fix_environment.tree(prefix)
    assert record.restore(made) == ()
    assert fix_environment.tree(prefix) == now


def test_project_files_come_back_byte_for_byte(prefix: Path, tmp_path: Path) -> None:
    real, link, new = (tmp_path / name for name in ("real", "pyproject.toml", "uv.lock"))
    real.write_bytes(b"a\r\n\xff\n")
    real.chmod(0o640)
    link.symlink_to(real)
    made = keep(prefix, link, new)
    assert record.load(prefix) == made
    link.write_text("changed")
    new.write_text("new")
    assert len(record.differences(made)) == 2
    assert record.restore(made) == ()
    assert (real.read_bytes(), link.is_symlink(), new.exists()) == (b"a\r\n\xff\n", True, False)
    assert real.stat().st_mode & 0o777 == 0o640


def test_the_record_before_stays_good_until_the_new_one_is_written(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = fix_environment.tree(prefix)
    made = keep(prefix)
    fix_environment.install(prefix, "one", "1.0", {"one/__init__.py": "2"})

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(record, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            keep(prefix)
    found = record.load(prefix)
    assert found == made
    assert record.restore(made) == ()
    assert fix_environment.tree(prefix) == state
    keep(prefix)
    assert len(list((prefix / ".metalassay").glob("kept-*"))) == 1


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("schema", {"name": "other"}, "another version of metalassay wrote it"),
        ("prefix", "/elsewhere", "it is that of /elsewhere"),
        ("state", "fine", "expected one of"),
        ("kept", ["../../etc/passwd"], "expected a path inside the environment"),
        ("kept", ["/etc/passwd"], "expected a path inside the environment"),
        ("folder", "..", "expected a path inside the environment"),
        ("filled", [3], "expected a path inside the environment"),
        ("files", {"a": 3}, "expected text or null"),
        ("files", [], "expected an object"),
    ],
)
def test_a_foreign_record_is_refused(key: str, value: object, words: str, prefix: Path) -> None:
    keep(prefix)
    path = record.path_of(prefix)
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(UserError, match=words) as caught:
        record.load(prefix)
    assert "then delete this file" in caught.value.next_step


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "\udcff"])
def test_a_damaged_record_is_refused(text: str, prefix: Path) -> None:
    keep(prefix)
    record.path_of(prefix).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match="cannot be used"):
        record.load(prefix)


def test_a_file_where_the_record_should_be_is_no_traceback(prefix: Path) -> None:
    (prefix / ".metalassay").write_text("")
    with pytest.raises(UserError, match="nothing was changed"):
        keep(prefix)
