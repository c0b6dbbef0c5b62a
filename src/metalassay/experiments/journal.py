"""The rounds of an experiment that is not finished: one line of JSON each, appended as they end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalassay import files
from metalassay.errors import cannot_write
from metalassay.fields import FieldError, parse_json


class Journal:
    """What was measured so far: ``about`` the process (device, threads, arms), and its ``rounds``.

    ``under`` is a text of what has to stay the same, the machine and the versions: rounds that were measured under
    another one are left out, as is a last line that was cut off.
    """

    def __init__(self, path: Path, under: str) -> None:
        self._path, self._under = path, under
        self.about: dict[str, Any] = {}
        self.rounds: list[dict[str, dict[str, float]]] = []
        self._read()

    def _read(self) -> None:
        try:
            lines = self._path.read_text("utf-8").splitlines()
        except (OSError, ValueError):
            return  # none was begun, or what is there is none
        try:
            first, *others = map(parse_json, lines)
            if first["under"] == self._under:
                self.about, self.rounds = dict(first["about"]), [one["round"] for one in others]
        except (FieldError, KeyError, TypeError, ValueError):
            self.about, self.rounds = {}, []

    def begin(self, about: Mapping[str, Any]) -> None:
        """Note what a process says of itself; the rounds of one that differs are dropped."""
        if dict(about) == self.about:
            return
        self.about, self.rounds = dict(about), []
        self._write({"under": self._under, "about": self.about}, "w")

    def add(self, one: dict[str, dict[str, float]]) -> None:
        """Keep a round."""
        self.rounds.append(one)
        self._write({"round": one}, "a")

    def _write(self, entry: Mapping[str, Any], mode: str) -> None:
        try:
            files.make_folder(self._path.parent)
            with self._path.open(mode, encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise cannot_write(self._path, error, "name another folder with --folder") from None

    def remove(self) -> None:
        """Forget the rounds: they are in the file of the run."""
        self._path.unlink(missing_ok=True)
