"""Finds result files in files, folders, patterns and object stores; each file is found once.

A quoted pattern, as in ``'runs/**/*.json'``, is expanded here and not by the shell, whose expansion
may exceed the length of a command line. Below a folder that is named, and below the one that a pattern begins
with, links are followed that stay within it, each place once. A link that leads out of it could lead
through a whole disk, or to /proc, so it is left out, and a line says so. So is a folder too deep, and a folder with
more files than results ever have is refused.
"""

from __future__ import annotations

import fnmatch
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from metalassay import files
from metalassay.errors import UserError
from metalassay.fields import FieldError
from metalassay.results import object_stores
from metalassay.results.source import LARGEST, SUFFIXES, Source, check_size, shown

_LONGEST_NAME = 255  # characters
_MAGIC = frozenset("*?[")

MOST_NAMES = 200_000
"""Files and folders that are looked at below one that is named, whether or not they are results."""
MOST_SECONDS = 10.0
"""For listing what is below a folder; a network disk may take long for each name."""
DEEPEST = 40
"""Levels of folders that are entered below one that is named."""


def find(paths: Iterable[str | Path]) -> Iterator[Source]:
    """Yield each file once; the files of a folder or a pattern are sorted by name.

    Raises ``UserError`` for a path that does not exist and a pattern without a match. A folder that
    cannot be listed is a source that cannot be read.
    """
    seen: set[str] = set()

    def is_new(path: Path) -> bool:
        real = os.path.realpath(path)
        known = real in seen
        seen.add(real)
        return not known

    for path in paths:
        if str(path).startswith("file:///"):
            # A store of the file system would follow every link.
            yield from _local(Path(unquote(str(path).removeprefix("file://"))), is_new)
            continue
        if "://" in str(path):
            yield from object_stores.find(str(path), seen)
            continue
        yield from _local(Path(path), is_new)


def named(paths: Iterable[Path]) -> list[Path]:
    """Return the files that are named one by one, with those that a quoted pattern matches in its place.

    Raises ``UserError`` for a pattern without a match, and for a name that no file can have.
    """
    found: list[Path] = []
    for path in paths:
        try:
            is_pattern = not path.exists() and any(map(_MAGIC.intersection, path.parts))
        except (OSError, ValueError) as error:
            raise files.cannot_read(shown(path), error, "name a result file") from None
        if is_pattern:
            found += [source.path for source in find([path]) if source.path is not None]
        else:
            found.append(path)
    return found


def one(path: Path) -> Source:
    """Return a file by its name, which is no pattern. Raises ``UserError`` for one that is not there."""
    try:
        path.stat()
    except (OSError, ValueError) as error:
        raise files.cannot_read(shown(path), error, "name a result file") from None
    return _file(path)


def _local(path: Path, is_new: Callable[[Path], bool]) -> Iterator[Source]:
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError) as error:
        if any(_MAGIC.intersection(part) for part in path.parts):
            yield from _matching(path, is_new)
            return
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot read {shown(path)}: {reason}", "name a result file or a folder of them"
        ) from None
    if is_folder:
        yield from _below(path, is_new, lambda file: file.suffix in SUFFIXES)
    elif is_new(path):
        yield _file(path)


def _matching(pattern: Path, is_new: Callable[[Path], bool]) -> Iterator[Source]:
    """Yield the files that match a pattern; ``**`` stands for any number of folders, also none."""
    if max(map(len, pattern.parts)) > _LONGEST_NAME:  # and fnmatch would take minutes for it
        raise UserError(
            f"{shown(pattern)[:80]}... is longer than the name of a file can be",
            "name a result file or a folder of them",
        )
    fixed = 0
    while not _MAGIC.intersection(pattern.parts[fixed]):
        fixed += 1
    base, wanted = Path(*pattern.parts[:fixed]), pattern.parts[fixed:]
    matched = False
    # Without `**` nothing deeper than the pattern can match, and walking a whole disk takes long.
    deepest = None if "**" in wanted else len(wanted)
    for source in _below(
        base, is_new, lambda path: matches(path.relative_to(base).parts, wanted), deepest
    ):
        matched = True
        yield source
    if not matched:
        raise UserError(
            f"nothing matches {shown(pattern)}", "name a result file or a folder of them"
        )


def matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a pattern; ``**`` matches any number of them."""
    # How many of the parts the pattern may have matched so far: several "**" have many ways to do it.
    ways = {0}
    for each in pattern:
        if each == "**":
            ways = set(range(min(ways), len(parts) + 1)) if ways else ways
        else:
            ways = {
                way + 1
                for way in ways
                if way < len(parts) and fnmatch.fnmatchcase(parts[way], each)
            }
    return len(parts) in ways


@dataclass
class _Outside:
    """What was left out below one folder: how many, and the first."""

    count: int = 0
    first: Path | None = None

    def add(self, path: Path) -> None:
        self.count += 1
        self.first = self.first or path

    def sources(self, folder: Path, what: tuple[str, str], next_step: str) -> Iterator[Source]:
        """Yield a source that says so instead of having a content, if anything was left out."""
        if self.first is None:
            return
        number = what[0] if self.count == 1 else f"{self.count:,} {what[1]}"
        which = "it is" if self.count == 1 else "the first is"
        sentence = f"{number} not followed; {which} {shown(self.first)} ({next_step})"

        def read() -> bytes:
            raise FieldError(sentence)

        yield Source(shown(folder), read)


def _below(
    folder: Path,
    is_new: Callable[[Path], bool],
    wanted: Callable[[Path], bool],
    deepest: int | None = None,
) -> Iterator[Source]:
    """Yield the files below a folder that are wanted; ``deepest`` counts the levels that can hold one.

    The whole folder is walked before the first file is read: of a disk that was named by mistake nothing is.
    """
    yield from list(_walk(folder, is_new, wanted, deepest))


def _walk(
    folder: Path,
    is_new: Callable[[Path], bool],
    wanted: Callable[[Path], bool],
    deepest: int | None,
) -> Iterator[Source]:
    failed: list[OSError] = []
    root = os.path.realpath(folder)
    outside, deep = _Outside(), _Outside()
    looked_at, until = 0, time.monotonic() + MOST_SECONDS
    # The folders still to be read, the next one last, with their depth.
    waiting = [(folder, 1)]
    is_new(folder)
    while waiting:
        here, depth = waiting.pop()
        found: list[Path] = []
        folders: list[Path] = []
        leaving: list[Path] = []
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    looked_at += 1
                    if looked_at > MOST_NAMES:
                        raise UserError(
                            f"{shown(folder)} has more than {MOST_NAMES:,} files and folders",
                            "name the folders in it that hold results",
                        )
                    if time.monotonic() > until:
                        raise UserError(
                            f"{shown(folder)} is too large: {MOST_SECONDS:g} s did not suffice to list it",
                            "name the folders in it that hold results",
                        )
                    path = here / entry.name
                    is_folder = _is_folder(entry)
                    # Hidden files are not results: macOS leaves a "._x.json" beside x.json on some disks.
                    if not is_folder and (entry.name[0] == "." or not wanted(path)):
                        continue
                    if is_folder and deepest is not None and depth >= deepest:
                        continue
                    if entry.is_symlink() and not _within(path, root):
                        leaving.append(path)
                    elif is_folder:
                        folders.append(path)
                    else:
                        found.append(path)
        except OSError as error:
            failed.append(error)
        yield from _unlistable(failed)
        for path in sorted(leaving):
            outside.add(path)
        for path in sorted(found):
            if is_new(path):
                yield _file(path)
        for path in sorted(folders, reverse=True):
            if depth >= DEEPEST:
                deep.add(path)
            else:
                waiting.append((path, depth + 1))
        while waiting and not is_new(waiting[-1][0]):
            waiting.pop()
    named = "to read it, name it too"
    yield from outside.sources(folder, ("a link out of it was", "links out of it were"), named)
    level = f"more than {DEEPEST} folders deep; {named}"
    yield from deep.sources(folder, ("a folder in it was", "folders in it were"), level)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links; reading it says so
        return False


def _within(path: Path, root: str) -> bool:
    """Whether a link leads to something below the folder, there or not."""
    real = os.path.realpath(path)
    return real == root or real.startswith(os.path.join(root, ""))  # noqa: PTH118


def _unlistable(failed: list[OSError]) -> Iterator[Source]:
    while failed:
        error = failed.pop(0)

        def read(reason: str = error.strerror or str(error)) -> bytes:
            raise FieldError(reason)

        yield Source(shown(Path(error.filename)), read)


def _file(path: Path) -> Source:
    return Source(shown(path), lambda: _content(path), path)


def _content(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise FieldError("not a regular file")
        check_size(status.st_size)
        return files.content(path, LARGEST)  # it may have grown or changed since
    except OSError as error:
        raise FieldError(f"cannot be read: {error.strerror}") from None
