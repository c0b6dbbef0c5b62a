"""The log of a run: one JSON line a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalassay.files import write_atomically

LOG = "log.jsonl"


class RunLog:
    """Appends lines to ``path``; those after ``step``, of a run that was killed later, go."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            lines = path.read_text("utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("}\n") and _step(line) <= step]
            write_atomically(path, "".join(kept))

    def __enter__(self) -> RunLog:
        self._stream = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *failure: object) -> None:
        self._stream.close()

    def add(self, line: Mapping[str, Any]) -> None:
        """Write ``line``, which holds a "step"."""
        print(json.dumps(line), file=self._stream, flush=True)


def _step(line: str) -> int:
    step: int = json.loads(line)["step"]
    return step
