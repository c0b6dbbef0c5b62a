"""Keeps the state of an environment before a change, in the environment itself, and brings it back.

Every file in the folders that an installer fills is kept, whoever it belongs to, and every other file of a
package: as a hard link, which takes no space while the environment has the same file. So the old state
comes back without a network, without the environment's own Python, and also where a version came from a
place that no longer has it. The record is one JSON file; ``metalassay fix --undo`` reads it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from metalassay import files
from metalassay.errors import UserError, cannot_write, reason
from metalassay.fields import Field, FieldError, parse_json
from metalassay.files import write_atomically
from metalassay.fix import distributions
from metalassay.fix.distributions import Installed

SCHEMA = {"name": "metalassay.fix.record", "version": 1}

RECORDED, INSTALLING, VERIFYING, RESTORING, DONE, UNDONE = STATES = (
    "recorded",
    "installing",
    "verifying",
    "restoring",
    "done",
    "undone",
)
UNFINISHED = (INSTALLING, VERIFYING, RESTORING)
"""The states in which the environment may be half changed."""

_FOLDER, _KEPT, _TAKEN_AWAY = ".metalassay", "kept", "taken-away"
_OURS = "metalassay"  # it runs this: its own files stay as they are
_COPIED = 1 << 20  # bytes


@dataclass(frozen=True)
class Record:
    """The state before a change.

    ``state`` is how far the change came, ``lines`` are the set before as a requirements file has it,
    ``versions`` the same by name. ``files`` are the texts of the project's files before (None: there was
    none). ``kept`` are the files of the environment, relative to it, in ``folder``, and ``outside`` those
    that a package has elsewhere. ``filled`` are the folders that installers fill, relative too: there,
    a file that is not in ``kept`` came later.
    """

    prefix: str
    state: str
    began: str
    command: tuple[str, ...]
    lines: tuple[str, ...]
    versions: Mapping[str, str]
    files: Mapping[str, str | None]
    folder: str
    filled: tuple[str, ...]
    kept: tuple[str, ...]
    outside: tuple[str, ...] = ()

    @property
    def root(self) -> Path:
        """Return the environment's folder, links resolved."""
        return Path(self.prefix).resolve()

    @property
    def unfinished(self) -> bool:
        """Whether the environment may be half changed."""
        return self.state in UNFINISHED

    def pairs(self) -> Iterator[tuple[Path, Path]]:
        """Yield each kept file, and its place in the environment."""
        root = self.root
        place = root / _FOLDER / self.folder
        for file in self.kept:
            yield place / "inside" / file, root / file
        for file in self.outside:
            yield place / "outside" / file.lstrip("/"), Path(file)


def path_of(prefix: Path) -> Path:
    """Return the record of an environment."""
    return prefix / _FOLDER / "fix.json"


def load(prefix: Path) -> Record | None:
    """Return the record of an environment, None where nothing was changed.

    Raises ``UserError`` for one that cannot be read, or is that of another environment.
    """
    path = path_of(prefix)
    try:
        found = Field(parse_json(files.content(path)))
        if found.get("schema").value != SCHEMA:
            raise FieldError("another version of metalassay wrote it")
        made_for = found.get("prefix").text()
        if Path(made_for).resolve() != prefix.resolve():
            raise FieldError(f"it is that of {made_for}")
        return Record(
            prefix=str(prefix),
            state=found.get("state").one_of(STATES),
            began=found.get("began").text(),
            command=tuple(each.text() for each in found.get("command").each()),
            lines=tuple(each.text() for each in found.get("lines").each()),
            versions=found.get("versions").texts(),
            files={name: _text(found.get("files").get(name)) for name in _keys(found.get("files"))},
            folder=_inside(found.get("folder")),
            filled=tuple(map(_inside, found.get("filled").each())),
            kept=tuple(map(_inside, found.get("kept").each())),
            outside=tuple(str(_text(each)) for each in found.get("outside").each()),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: the record of the last change cannot be used: {reason(error)}",
            "install the versions that you want, then delete this file",
        ) from None


def make(installed: Installed, command: Iterable[str], files: Iterable[Path]) -> Record:
    """Keep the state of an environment before ``command`` changes it, and write the record.

    ``files`` are those of the project that the command may change. Raises ``UserError`` where the state
    cannot be kept; nothing was changed then, and the record of an earlier change is still good.
    """
    place = installed.prefix / _FOLDER
    folder = None
    try:
        place.mkdir(exist_ok=True)
        (place / ".gitignore").write_text("*\n", "utf-8")
        folder = Path(tempfile.mkdtemp(prefix=f"{_KEPT}-", dir=place))
        filled = _filled(installed)
        kept, outside = _keep(installed, filled, folder)
        record = Record(
            prefix=str(installed.prefix),
            state=RECORDED,
            began=datetime.now(UTC).isoformat(timespec="seconds"),
            command=tuple(command),
            lines=installed.lines,
            versions=installed.versions,
            files={str(file): _content(file) for file in files},
            folder=folder.name,
            filled=filled,
            kept=kept,
            outside=outside,
        )
        write(record)
    except OSError as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise cannot_write(place, error, "make room or rights there; nothing was changed") from None
    for each in place.iterdir():
        if each.name != record.folder and each.name.startswith((_KEPT, _TAKEN_AWAY)):
            shutil.rmtree(each, ignore_errors=True)
    return record


def write(record: Record, state: str = "") -> Record:
    """Write a record, in another ``state`` if one is given, and return it. Raises ``OSError``."""
    record = replace(record, state=state or record.state)
    document = {"schema": SCHEMA, **asdict(record)}
    write_atomically(path_of(Path(record.prefix)), json.dumps(document, indent=1))
    return record


def restore(record: Record) -> tuple[str, ...]:
    """Bring back the state before; return what differs from it afterwards, nothing if all is as it was.

    Does nothing where nothing differs, so it can be repeated after an interruption. A file that came later
    and belongs to no package is not deleted: it is moved into the folder of the record. Raises ``OSError``,
    and ``UserError`` where kept files are lost; nothing was changed then.
    """
    changed = [pair for pair in record.pairs() if not _same(*pair)]
    lost = [target for kept, target in changed if not os.path.lexists(kept)]
    if lost:
        raise UserError(
            f"{len(lost)} files that were kept are lost, such as that of {lost[0]}; nothing was changed",
            "install the versions that you want",
        )
    for name, text in record.files.items():
        _put_back(Path(name), text)
    folders = set()
    for file, owned in _later(record).items():
        if owned:
            file.unlink()
        else:
            away = record.root / _FOLDER / _TAKEN_AWAY / file.relative_to(record.root)
            away.parent.mkdir(parents=True, exist_ok=True)
            file.replace(away)
        _forget_compiled(file)
        folders.add(file.parent)
    for folder in folders:
        _remove_empty(folder, {record.root, *(record.root / each for each in record.filled)})
    for kept, target in changed:
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f".metalassay-{os.getpid()}.part")
        new.unlink(missing_ok=True)
        _link(kept, new)
        new.replace(target)
        _forget_compiled(target)
    return differences(record)


def differences(record: Record) -> tuple[str, ...]:
    """Return how the present state differs from the recorded one, each difference as a sentence."""
    found = [
        f"{target} is missing or changed"
        for kept, target in record.pairs()
        if not _same(kept, target)
    ]
    found += [f"{file} was not there" for file in _later(record)]
    found += [
        f"{name} has changed" for name, text in record.files.items() if _content(Path(name)) != text
    ]
    if len(found) > 3:
        return (*found[:3], f"and {len(found) - 3} more files")
    return tuple(found)


def _filled(installed: Installed) -> tuple[str, ...]:
    """Return the folders that an installer fills, relative to the environment."""
    root = installed.prefix.resolve()
    found = (folder.resolve() for folder in installed.folders)
    return tuple(
        dict.fromkeys(
            str(folder.relative_to(root))
            for folder in found
            if folder != root and folder.is_relative_to(root)
        )
    )


def _keep(
    installed: Installed, filled: Iterable[str], folder: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Keep every file; return those of the environment, relative to it, and those that are elsewhere."""
    root = installed.prefix.resolve()
    owned: Counter[Path] = Counter()
    never = set()
    real = _Real()
    for each in installed.distributions.values():
        # What belongs to the Python below, or to a checkout, is not the environment's.
        if not Path(each.folder).resolve().is_relative_to(root):
            continue
        places = {real(file) for file in each.files if not file.endswith(".pyc")}
        if each.name == _OURS:
            never = places
        owned.update(places)
    found = {*_walk(root, filled), *(file for file in owned if os.path.lexists(file))}
    inside, outside = [], []
    for file in sorted(found - never):
        if file.is_dir() and not file.is_symlink():
            continue
        if file.is_relative_to(root):
            inside.append(str(file.relative_to(root)))
            target = folder / "inside" / inside[-1]
        else:
            outside.append(str(file))
            target = folder / "outside" / outside[-1].lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(file, target, copied=_written_into(file, owned[file]))
    return tuple(inside), tuple(outside)


def _written_into(file: Path, owners: int) -> bool:
    """Return whether an installer may write into a file instead of replacing it; both names would change."""
    kind = file.parent.name
    likely = owners != 1 or kind.endswith(".dist-info") or kind == "bin"
    return likely and file.lstat().st_size <= _COPIED


def _walk(root: Path, filled: Iterable[str]) -> Iterator[Path]:
    """Yield every file and link below the folders, but what Python compiled."""
    for name in filled:
        for folder, folders, names in os.walk(root / name):
            for each in (*names, *(each for each in folders if Path(folder, each).is_symlink())):
                if not each.endswith(".pyc"):
                    yield Path(folder, each)
            folders[:] = [each for each in folders if each not in ("__pycache__", _FOLDER)]


def _later(record: Record) -> dict[Path, bool]:
    """Return the files that came after the record was made, and whether a package owns each."""
    root = record.root
    known = {root / file for file in record.kept}
    real = _Real()
    owners = {
        real(file): names
        for file, names in distributions.owners(root / each for each in record.filled).items()
    }
    ours = {file for file, names in owners.items() if _OURS in names}
    owned = {
        file
        for file in owners
        if file.is_relative_to(root) and file.suffix != ".pyc" and os.path.lexists(file)
    }
    return {
        file: file in owned
        for file in sorted({*_walk(root, record.filled), *owned} - known - ours)
        if file.is_symlink() or not file.is_dir()
    }


class _Real:
    """Says where a file is, links of its folders resolved; the file itself may be a link."""

    def __init__(self) -> None:
        self.folders: dict[str, str] = {}

    def __call__(self, file: str) -> Path:
        folder, _, name = file.rpartition("/")
        if folder not in self.folders:
            self.folders[folder] = os.path.realpath(folder)
        return Path(self.folders[folder], name)


def _link(source: Path, target: Path, *, copied: bool = False) -> None:
    """Give a file a second name, or copy it where that is asked for, or where there are no such links."""
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    if not copied:
        with contextlib.suppress(OSError):
            target.hardlink_to(source)
            return
    shutil.copy2(source, target)


def _same(kept: Path, present: Path) -> bool:
    """Return whether two files have the same kind, rights and content."""
    try:
        one, other = kept.lstat(), present.lstat()
        if one.st_ino == other.st_ino and one.st_dev == other.st_dev:
            return True
        if one.st_mode != other.st_mode or one.st_size != other.st_size:
            return False
        if stat.S_ISLNK(one.st_mode):
            return kept.readlink() == present.readlink()
        return kept.read_bytes() == present.read_bytes()
    except OSError:
        return False


def _forget_compiled(file: Path) -> None:
    """Delete what Python compiled from a file: it could take it for that of another version."""
    if file.suffix == ".py":
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
            compiled.unlink(missing_ok=True)


def _remove_empty(folder: Path, stay: Iterable[Path]) -> None:
    """Remove a folder and those above it which have nothing left but what Python compiled."""
    while folder not in stay:
        compiled = folder / "__pycache__"
        if compiled.is_dir() and not any(folder.glob("*.py")):
            shutil.rmtree(compiled, ignore_errors=True)
        try:
            folder.rmdir()
        except OSError:
            return  # not empty, or not there any more
        folder = folder.parent


def _content(file: Path) -> str | None:
    """Return every byte of a file as text, whatever its encoding and its line ends; None: no file."""
    try:
        return files.content(file).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None


def _put_back(file: Path, text: str | None) -> None:
    """Give a file the content that it had; a link stays one, and the rights of the file stay."""
    if _content(file) == text:
        return
    if text is None:
        file.unlink()
        return
    real = file.resolve()
    new = real.with_name(f".{real.name}.metalassay.part")
    try:
        new.write_bytes(text.encode("utf-8", "surrogateescape"))
        with contextlib.suppress(FileNotFoundError):
            shutil.copymode(real, new)
        new.replace(real)
    finally:
        new.unlink(missing_ok=True)


def _text(found: Field) -> str | None:
    if found.value is None or isinstance(found.value, str):
        return found.value
    raise found.wrong("text or null")


def _inside(found: Field) -> str:
    """Return a path that stays below the folder that it is relative to."""
    path = found.value
    if not isinstance(path, str) or not path or path.startswith("/") or ".." in Path(path).parts:
        raise found.wrong("a path inside the environment")
    return path


def _keys(found: Field) -> list[str]:
    if not isinstance(found.value, dict):
        raise found.wrong("an object")
    return [str(key) for key in found.value]
