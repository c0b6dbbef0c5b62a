"""What is kept of an environment before a change, and how it comes back."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from fake_environment import Environment

from metalassay.errors import UserError
from metalassay.fix import distributions, record


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Return an environment with three packages."""
    made = Environment(tmp_path / "envi rönment")
    made.add("alpha", "1.0", {"alpha/data.txt": "old", "../../../bin/alpha": "#!old"})
    made.add("beta", "2.0", {"shared/common.py": "beta"})
    made.add("gamma", "3.0")
    return made


def keep(environment: Environment, *files: Path) -> record.Record:
    return record.make(distributions.read(environment.python), ["uv", "pip"], files)


def test_what_was_replaced_added_and_removed_comes_back(environment: Environment) -> None:
    before = environment.state()
    kept = keep(environment)
    environment.add("alpha", "1.1", {"alpha/new.py": "new"})
    (environment.prefix / "bin" / "alpha").unlink()
    environment.add("delta", "4.0", {"shared/common.py": "delta"})
    environment.remove("gamma")
    assert environment.state() != before
    assert record.restore(kept) == ()
    assert environment.state() == before
    assert distributions.read(environment.python).versions == kept.versions


def test_a_file_that_an_installer_writes_into_comes_back(environment: Environment) -> None:
    before = environment.state()
    shared = environment.site / "distutils-precedence.pth"
    shared.write_text("one")
    kept = keep(environment)
    shared.write_text("two")  # in place: a link would have the new text too
    assert record.restore(kept) == ()
    assert shared.read_text() == "one"
    shared.unlink()
    assert environment.state() == before


def test_restoring_again_after_an_interruption_ends_well(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = environment.state()
    kept = keep(environment)
    environment.add("alpha", "1.1")
    environment.remove("beta")
    real, count = record._link, [0]

    def interrupted(*arguments: Path, copied: bool = False) -> None:
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        real(*arguments, copied=copied)

    monkeypatch.setattr(record, "_link", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record.restore(kept)
    assert record.differences(kept)
    monkeypatch.setattr(record, "_link", real)
    assert record.restore(kept) == ()
    assert environment.state() == before


def test_the_environments_own_python_is_not_needed(environment: Environment) -> None:
    before = environment.state()
    kept = keep(environment)
    environment.add("alpha", "1.1")
    (environment.site / "sitecustomize.py").write_text("raise SystemExit('broken')")
    (environment.site / "sitecustomize.pth").write_text("import os; os._exit(1)\n")
    assert record.restore(kept) == ()
    assert environment.state() == before
    # What belonged to no package was moved away, not deleted.
    away = environment.prefix / ".metalassay" / "taken-away"
    assert {path.name for path in away.rglob("site*") if path.is_file()} >= {"sitecustomize.py"}


def test_the_projects_files_come_back_byte_for_byte(
    environment: Environment, tmp_path: Path
) -> None:
    project, lock = tmp_path / "pyproject.toml", tmp_path / "uv.lock"
    project.write_bytes(b"a = 1\r\n\xff")
    kept = keep(environment, project, lock)
    project.write_text("a = 2")
    lock.write_text("new")
    assert record.restore(kept) == ()
    assert project.read_bytes() == b"a = 1\r\n\xff"
    assert not lock.exists()


def test_a_record_is_read_as_it_was_written(environment: Environment) -> None:
    kept = record.write(keep(environment), record.INSTALLING)
    assert record.load(environment.prefix) == kept
    assert kept.unfinished
    assert kept.lines == ("alpha==1.0", "beta==2.0", "gamma==3.0")
    assert not record.write(kept, record.DONE).unfinished


def test_a_new_record_replaces_the_files_of_the_old(environment: Environment) -> None:
    first = keep(environment)
    second = keep(environment)
    folders = {path.name for path in (environment.prefix / ".metalassay").glob("kept-*")}
    assert folders == {second.folder} != {first.folder}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace('"version": 1', '"version": 99', 1),
        lambda text: json.dumps({**json.loads(text), "kept": ["../../../etc/passwd"]}),
        lambda text: json.dumps({**json.loads(text), "prefix": "/elsewhere"}),
        lambda text: json.dumps({**json.loads(text), "state": "perfect"}),
    ],
)
def test_a_damaged_or_foreign_record_is_refused(environment: Environment, damage: object) -> None:
    keep(environment)
    path = record.path_of(environment.prefix)
    assert callable(damage)
    path.write_text(damage(path.read_text()))
    with pytest.raises(UserError, match="cannot be used"):
        record.load(environment.prefix)


def test_kept_files_that_are_lost_change_nothing(environment: Environment) -> None:
    kept = keep(environment)
    environment.add("alpha", "1.1")
    after = environment.state()
    kept_files = environment.prefix / ".metalassay" / kept.folder / "inside"
    next(kept_files.rglob("data.txt")).unlink()
    with pytest.raises(UserError, match="are lost"):
        record.restore(kept)
    assert environment.state() == after


def test_a_full_disk_leaves_the_earlier_record_and_nothing_half_kept(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = keep(environment)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(record, "write_atomically", full)
    with pytest.raises(UserError, match="No space left on device"):
        keep(environment)
    monkeypatch.undo()
    assert record.load(environment.prefix) == first
    folders = [path.name for path in (environment.prefix / ".metalassay").glob("kept-*")]
    assert folders == [first.folder]


def test_metalassays_own_files_are_left_alone(environment: Environment) -> None:
    environment.add("metalassay", "0.1")
    kept = keep(environment)
    environment.add("metalassay", "0.2")
    assert record.restore(kept) == ()
    assert distributions.read(environment.python).versions["metalassay"] == "0.2"


def test_without_a_record_there_is_none(tmp_path: Path) -> None:
    assert record.load(tmp_path) is None
