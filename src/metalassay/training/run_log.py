"""The log of a run: one line of JSON per report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from metalassay import files
from metalassay.errors import UserError
from metalassay.files import NO_ROOM, write_atomically

LOG = "log.jsonl"


class RunLog:
    """A log that appends lines to ``path``.

    Lines after ``step``, from a run that was killed later than its last checkpoint, are removed, as
    are lines that we did not write. A run without reports leaves no file. Raises ``UserError`` if the
    file cannot be read or written.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self._stream: TextIO | None = None
        try:
            files.make_folder(path.parent)
            if path.exists():
                lines = path.read_bytes().splitlines(keepends=True)
                kept = [line for line in lines if line.endswith(b"}\n") and _is_entry(line, step)]
                write_atomically(path, b"".join(kept).decode())
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            raise UserError(
                f"cannot write {path}: {error.strerror}", "move it away, or choose another --output"
            ) from error

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def add(self, line: Mapping[str, Any]) -> None:
        """Write ``line``, which has a "step"."""
        if self._stream is None:
            self._stream = self.path.open("a", encoding="utf-8")
        print(json.dumps(line, allow_nan=False), file=self._stream, flush=True)


def _is_entry(line: bytes, step: int) -> bool:
    """Return whether ``line`` is a log entry of a step up to ``step``."""
    try:
        logged = json.loads(line.decode()).get("step")  # JSON that ends in } is an object
    except (ValueError, RecursionError):
        return False
    return isinstance(logged, int) and logged <= step
