"""Finds result files in files, folders, patterns and object stores; each file is found once.

A quoted pattern, as in ``'runs/**/*.json'``, is expanded here and not by the shell, whose expansion
may exceed the length of a command line. Folders and patterns follow links, and a loop of links is
walked once.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from metalassay.errors import UserError
from metalassay.fields import FieldError
from metalassay.results import object_stores
from metalassay.results.source import SUFFIXES, Source, check_size, shown

_MAGIC = frozenset("*?[")


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
        if "://" in str(path):
            yield from object_stores.find(str(path), seen)
            continue
        yield from _local(Path(path), is_new)


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
    if not pattern:
        return not parts
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        return any(matches(parts[start:], rest) for start in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], first) and matches(parts[1:], rest)


def _below(
    folder: Path,
    is_new: Callable[[Path], bool],
    wanted: Callable[[Path], bool],
    deepest: int | None = None,
) -> Iterator[Source]:
    failed: list[OSError] = []
    start = len(folder.parts)
    for at, folders, names in os.walk(folder, onerror=failed.append, followlinks=True):
        yield from _unlistable(failed)
        here = Path(at)
        enter = deepest is None or len(here.parts) - start + 1 < deepest
        folders[:] = [name for name in sorted(folders) if is_new(here / name)] if enter else []
        for name in sorted(names):
            # Hidden files are not results: macOS leaves a "._x.json" beside x.json on some disks.
            path = here / name
            if name[0] != "." and wanted(path) and is_new(path):
                yield _file(path)
    yield from _unlistable(failed)


def _unlistable(failed: list[OSError]) -> Iterator[Source]:
    while failed:
        error = failed.pop(0)

        def read(reason: str = error.strerror or str(error)) -> bytes:
            raise FieldError(reason)

        yield Source(shown(Path(error.filename)), read)


def _file(path: Path) -> Source:
    return Source(shown(path), lambda: _content(path))


def _content(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise FieldError("not a regular file")
        check_size(status.st_size)
        return path.read_bytes()
    except OSError as error:
        raise FieldError(f"cannot be read: {error.strerror}") from None
