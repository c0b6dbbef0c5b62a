"""Keeps the state of an environment before a change, in the environment itself, and brings it back.

The files of every distribution are kept as hard links, which take no space while the environment has the
same files. So the old state comes back without a network, and also where a version came from a place that
no longer has it. The record is one JSON file; ``metalassay fix --undo`` reads it.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from metalassay.errors import UserError, cannot_write, reason
from metalassay.fields import Field, FieldError
from metalassay.files import write_atomically
from metalassay.fix import distributions
from metalassay.fix.distributions import Installed

SCHEMA = {"name": "metalassay.fix.record", "version": 1}

RECORDED, INSTALLING, VERIFYING, DONE, UNDONE = (
    "recorded",
    "installing",
    "verifying",
    "done",
    "undone",
)

_FOLDER = ".metalassay"
_NEVER = frozenset({"metalassay"})  # it runs this: its own files stay as they are


@dataclass(frozen=True)
class Record:
    """The state before a change.

    ``state`` is how far the change came, ``lines`` are the set before as a requirements file has it,
    ``versions`` the same by name. ``files`` are the texts of the project's files before (None: there was
    none), ``kept`` the files of each distribution by name, relative to the environment.
    """

    prefix: str
    state: str
    began: str
    command: tuple[str, ...]
    lines: tuple[str, ...]
    versions: Mapping[str, str]
    files: Mapping[str, str | None]
    kept: Mapping[str, tuple[str, ...]]


def path_of(prefix: Path) -> Path:
    """Return the record of an environment."""
    return prefix / _FOLDER / "fix.json"


def load(prefix: Path) -> Record | None:
    """Return the record of an environment, None where nothing was changed.

    Raises ``UserError`` for one that cannot be read.
    """
    path = path_of(prefix)
    try:
        found = Field(json.loads(path.read_text("utf-8")))
        if found.get("schema").value != SCHEMA:
            raise FieldError("another version of metalassay wrote it")
        return Record(
            prefix=str(prefix),
            state=found.get("state").one_of((RECORDED, INSTALLING, VERIFYING, DONE, UNDONE)),
            began=found.get("began").text(),
            command=tuple(each.text() for each in found.get("command").each()),
            lines=tuple(each.text() for each in found.get("lines").each()),
            versions=found.get("versions").texts(),
            files={name: _text(found.get("files").get(name)) for name in _keys(found.get("files"))},
            kept={
                name: tuple(each.text() for each in found.get("kept").get(name).each())
                for name in _keys(found.get("kept"))
            },
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: the record of the last change cannot be read: {reason(error)}",
            "install the versions that you want, then delete this file",
        ) from None


def make(installed: Installed, command: Iterable[str], files: Iterable[Path]) -> Record:
    """Keep the state of an environment before ``command`` changes it, and write the record.

    ``files`` are those of the project that the command may change. Raises ``UserError`` where the state
    cannot be kept; nothing was changed then.
    """
    folder = installed.prefix / _FOLDER
    try:
        folder.mkdir(exist_ok=True)
        (folder / ".gitignore").write_text("*\n", "utf-8")
        shutil.rmtree(folder / "kept", ignore_errors=True)
        record = Record(
            prefix=str(installed.prefix),
            state=RECORDED,
            began=datetime.now(UTC).isoformat(timespec="seconds"),
            command=tuple(command),
            lines=installed.lines,
            versions=installed.versions,
            files={str(file): _content(file) for file in files},
            kept=_keep(installed, folder / "kept"),
        )
        write(record)
    except OSError as error:
        raise cannot_write(
            folder, error, "make room or rights there; nothing was changed"
        ) from None
    return record


def write(record: Record, state: str = "") -> Record:
    """Write a record, in another ``state`` if one is given, and return it. Raises ``OSError``."""
    record = replace(record, state=state or record.state)
    document = {"schema": SCHEMA, **asdict(record)}
    write_atomically(path_of(Path(record.prefix)), json.dumps(document, indent=1))
    return record


def restore(record: Record, python: str) -> tuple[str, ...]:
    """Bring back the state before; return what differs from it afterwards, nothing if all is as it was.

    Does nothing where nothing differs, so it can be repeated after an interruption. Raises ``OSError``.
    """
    prefix = Path(record.prefix)
    kept = prefix / _FOLDER / "kept"
    for name, text in record.files.items():
        if text is None:
            Path(name).unlink(missing_ok=True)
        elif _content(Path(name)) != text:
            write_atomically(Path(name), text)
    now = distributions.read(python)
    wanted = {name: record.kept[name] for name in record.kept if not _intact(record, name, now)}
    surplus = [
        each
        for each in now.distributions.values()
        if each.name not in _NEVER and (each.name in wanted or each.name not in record.versions)
    ]
    # What a new version and an old one share is removed first and put back after, never the reverse.
    for each in surplus:
        _remove(prefix, [Path(file) for file in each.files])
    for name, files in wanted.items():
        for file in files:
            target = prefix / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            _link(kept / name / file, target)
    return differences(record, distributions.read(python))


def differences(record: Record, now: Installed) -> tuple[str, ...]:
    """Return how the present state differs from the recorded one, each difference as a sentence."""
    found = []
    for name in sorted({*record.versions, *now.versions} - _NEVER):
        old, new = record.versions.get(name), now.versions.get(name)
        if old != new:
            found.append(f"{name} is {new or 'not installed'}, and was {old or 'not installed'}")
        elif name in record.kept and not _intact(record, name, now):
            found.append(f"files of {name} {old} are missing or changed")
    found += [
        f"{name} has changed" for name, text in record.files.items() if _content(Path(name)) != text
    ]
    return tuple(found)


def _keep(installed: Installed, folder: Path) -> dict[str, tuple[str, ...]]:
    kept = {}
    prefix = installed.prefix.resolve()
    for each in installed.distributions.values():
        if each.name in _NEVER:
            continue
        files = []
        for name in each.files:
            file = Path(name)
            # Compiled files come and go by themselves, and what lies outside is not the environment's.
            real = _real(file)
            if file.suffix == ".pyc" or not real.is_relative_to(prefix) or not file.is_file():
                continue
            relative = str(real.relative_to(prefix))
            target = folder / each.name / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(file, target)
            files.append(relative)
        kept[each.name] = tuple(files)
    return kept


def _real(file: Path) -> Path:
    """Return where a file is, links of its folders resolved; the file itself may be a link."""
    return _resolved(file.parent) / file.name


@functools.lru_cache(50_000)
def _resolved(folder: Path) -> Path:
    return folder.resolve()


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if isinstance(error, FileExistsError):
            return
        shutil.copy2(source, target, follow_symlinks=False)


def _intact(record: Record, name: str, now: Installed) -> bool:
    """Return whether a distribution has its old version and every file that was kept of it."""
    there = now.distributions.get(name)
    if there is None or there.version != record.versions.get(name):
        return False
    prefix = Path(record.prefix)
    kept = prefix / _FOLDER / "kept" / name
    return all(_same(kept / file, prefix / file) for file in record.kept[name])


def _same(kept: Path, present: Path) -> bool:
    try:
        one, other = kept.lstat(), present.lstat()
    except OSError:
        return False
    if one.st_ino == other.st_ino and one.st_dev == other.st_dev:
        return True
    return one.st_size == other.st_size and kept.read_bytes() == present.read_bytes()


def _remove(prefix: Path, files: list[Path]) -> None:
    """Delete files of the environment, what was compiled from them, and the folders that are empty then."""
    root = prefix.resolve()
    folders = set()
    for file in files:
        if not _real(file).is_relative_to(root):
            continue
        file.unlink(missing_ok=True)
        folders.add(file.parent)
    for folder in sorted(folders, key=lambda each: len(each.parts), reverse=True):
        _remove_empty(folder, root)


def _remove_empty(folder: Path, root: Path) -> None:
    while folder.resolve() != root and folder.resolve().is_relative_to(root):
        compiled = folder / "__pycache__"
        if compiled.is_dir() and not any(folder.glob("*.py")):
            shutil.rmtree(compiled, ignore_errors=True)
        try:
            folder.rmdir()
        except OSError:
            return  # not empty, or not there any more
        folder = folder.parent


def _content(file: Path) -> str | None:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        return None


def _text(found: Field) -> str | None:
    if found.value is None or isinstance(found.value, str):
        return found.value
    raise found.wrong("text or null")


def _keys(found: Field) -> list[str]:
    if not isinstance(found.value, dict):
        raise found.wrong("an object")
    return [str(key) for key in found.value]
