"""Read what a user trains on: a file or a folder of dialogues in JSON lines and of plain text.

Files that end in .txt or .md are plain text, all others JSON lines. Text is read in pieces that end with
a line, or with a character in a line that is longer; so memory depends neither on the number of bytes nor
on the length of a line.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metalassay import files
from metalassay.errors import UserError, reason
from metalassay.training.gpt import dialogues
from metalassay.training.gpt.dialogues import Line

TEXT, JSON_LINES = (".txt", ".md"), (".jsonl",)
PIECE = 4096  # bytes of a piece of text at least, and of one without the end of a line at most
# Of every so many pieces of text one is held out, if nothing else is there to evaluate on.
EVERY, HELD_OUT = 20, 10
FIRST = 2**16  # bytes of each file of a folder that identify it, with its name and its size
ALL, TRAINING, EVALUATION = "all", "training", "evaluation"


def paths(path: Path, option: str = "--data") -> tuple[Path, ...]:
    """Return the files to read: ``path`` itself, or those in it and its folders, in order of their names.

    Files and folders whose names begin with a dot are left out. Raises ``UserError`` for a folder without
    any, and for one that cannot be read.
    """
    if not path.is_dir():
        return (path,)
    try:
        found = sorted(
            each
            for each in path.rglob("*")
            if each.suffix.lower() in (*TEXT, *JSON_LINES)
            and not any(part.startswith(".") for part in each.relative_to(path).parts)
            and each.is_file()
        )
    except OSError as error:
        raise _unreadable(path, error, option) from error
    if not found:
        raise UserError(
            f"{path} has no files that end in {', '.join((*JSON_LINES, *TEXT))}",
            f"choose another {option}",
        )
    return tuple(found)


def is_text(path: Path) -> bool:
    """Return whether a file is read as plain text."""
    return path.suffix.lower() in TEXT


def documents(
    path: Path,
    file: int = 0,
    offset: int = 0,
    number: int = 0,
    *,
    option: str = "--data",
    part: str = ALL,
) -> Iterator[Line]:
    """Yield the dialogues and pieces of text from byte ``offset`` of the file with this index.

    ``number`` lines come before it there. ``part`` leaves out the pieces of text that are held out
    (``TRAINING``), or everything else (``EVALUATION``).
    """
    found = paths(path, option)
    for index in range(file, len(found)):
        here = found[index]
        read = _pieces if is_text(here) else dialogues.lines
        start = offset if index == file else 0
        for line in read(here, start, number if index == file else 0, option):
            aside = is_text(here) and (index + start // PIECE) % EVERY == HELD_OUT
            start = line.next_offset
            if part == ALL or aside == (part == EVALUATION):
                yield dataclasses.replace(line, file=index, path=here)


def _pieces(path: Path, offset: int, number: int, option: str) -> Iterator[Line]:
    try:
        with files.open_regular(path) as stream:
            stream.seek(offset)
            while raw := _piece(stream):
                number += raw.count(b"\n")
                try:
                    text = raw.decode()
                except UnicodeDecodeError:
                    yield Line(max(number, 1), stream.tell(), None, "not UTF-8")
                    continue
                text = text.removeprefix("\ufeff")  # a byte order mark
                if text.strip():
                    yield Line(number, stream.tell(), text, None)
    except OSError as error:
        raise _unreadable(path, error, option) from error


def _piece(stream: Any) -> bytes:
    """Return the lines until there are ``PIECE`` bytes, or the beginning of a longer line."""
    lines = []
    left = PIECE
    while left > 0 and (line := stream.readline(PIECE)):
        cut = len(line) - (0 if line.endswith(b"\n") else _unfinished(line))
        if cut < len(line) == PIECE:
            stream.seek(cut - len(line), 1)
            line = line[:cut]
        lines.append(line)
        left -= len(line)
    return b"".join(lines)


def _unfinished(raw: bytes) -> int:
    """Return how many bytes at the end begin a character in UTF-8 that does not end there."""
    for back in range(1, min(4, len(raw)) + 1):
        byte = raw[-back]
        if byte & 0xC0 != 0x80:  # the first byte of a character, with as many ones as it has bytes
            needed = 8 - (byte ^ 0xFF).bit_length() if byte >= 0xC0 else 1
            return back if needed > back else 0
    return 0


def identity(path: Path) -> dict[str, Any]:
    """Return what identifies the data without reading it all: its bytes, and a hash of beginnings.

    Of a file it is that of the first MB; of a folder, of the names, the sizes and the first 64 kB of each.
    """
    if not path.is_dir():
        return dialogues.identity(path)
    digest, total = hashlib.sha256(), 0
    for each in paths(path):
        try:
            with files.open_regular(each) as stream:
                first = stream.read(FIRST)
            size = each.stat().st_size
        except OSError as error:
            raise _unreadable(each, error, "--data") from error
        total += size
        name = each.relative_to(path).as_posix().encode(errors="surrogateescape")
        digest.update(b"%d %d %s %s" % (size, len(name), name, first))
    return {"bytes": total, "sha256_of_first_mb": digest.hexdigest()}


def size(path: Path) -> int:
    """Return the bytes of all files; 0 for those that are not there."""
    return sum(each.stat().st_size for each in paths(path) if each.exists())


def _unreadable(path: Path, error: OSError, option: str) -> UserError:
    return UserError(
        f"cannot read {path}: {reason(error)}", f"choose another file or folder with {option}"
    )
