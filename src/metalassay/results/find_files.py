"""Where result files are: files, folders, patterns and object stores, each file once.

A pattern in quotes, as in ``'runs/**/*.json'``, is expanded here and not by the shell, which would
hand over more names than a command line holds. Folders and patterns follow links, and walk a loop of
them once.
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
from metalassay.results.source import Source, check_size, shown

_MAGIC = frozenset("*?[")


def find(paths: Iterable[str | Path]) -> Iterator[Source]:
    """Yield each file once, folders and patterns in the order of names.

    Raises ``UserError`` for a path that is not there and a pattern that nothing matches. What cannot
    be listed is a source that cannot be read.
    """
    seen: set[str] = set()

    def new(path: Path) -> bool:
        real = os.path.realpath(path)
        known = real in seen
        seen.add(real)
        return not known

    for path in paths:
        if "://" in str(path):
            yield from object_stores.find(str(path), seen)
            continue
        yield from _local(Path(path), new)


def _local(path: Path, new: Callable[[Path], bool]) -> Iterator[Source]:
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError) as error:
        if any(_MAGIC.intersection(part) for part in path.parts):
            yield from _matching(path, new)
            return
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot read {shown(path)}: {reason}", "name a result file or a folder of them"
        ) from None
    if is_folder:
        yield from _below(path, new, lambda found: found.suffix == ".json")
    elif new(path):
        yield _file(path)


def _matching(pattern: Path, new: Callable[[Path], bool]) -> Iterator[Source]:
    """Yield the files that a pattern names; ``**`` stands for folders, none or many."""
    fixed = 0
    while not _MAGIC.intersection(pattern.parts[fixed]):
        fixed += 1
    base, wanted = Path(*pattern.parts[:fixed]), pattern.parts[fixed:]
    found = False
    # Without `**` nothing deeper than the pattern can match, and to walk a whole disk takes long.
    deepest = None if "**" in wanted else len(wanted)
    for source in _below(
        base, new, lambda path: matches(path.relative_to(base).parts, wanted), deepest
    ):
        found = True
        yield source
    if not found:
        raise UserError(
            f"nothing matches {shown(pattern)}", "name a result file or a folder of them"
        )


def matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path are those of the pattern; ``**`` is any number of them."""
    if not pattern:
        return not parts
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        return any(matches(parts[start:], rest) for start in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], first) and matches(parts[1:], rest)


def _below(
    folder: Path,
    new: Callable[[Path], bool],
    wanted: Callable[[Path], bool],
    deepest: int | None = None,
) -> Iterator[Source]:
    failed: list[OSError] = []
    start = len(folder.parts)
    for at, folders, names in os.walk(folder, onerror=failed.append, followlinks=True):
        yield from _unlistable(failed)
        here = Path(at)
        enter = deepest is None or len(here.parts) - start + 1 < deepest
        folders[:] = [name for name in sorted(folders) if new(here / name)] if enter else []
        for name in sorted(names):
            # Hidden files are no results: macOS leaves a "._x.json" beside x.json on some disks.
            path = here / name
            if name[0] != "." and wanted(path) and new(path):
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
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # to open a pipe would wait for ever
            raise FieldError("not a regular file")
        check_size(about.st_size)
        return path.read_bytes()
    except OSError as error:
        raise FieldError(f"cannot be read: {error.strerror}") from None
