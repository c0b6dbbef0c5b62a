"""The table of small calls, one for each command that the command line has."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metalassay.cli import main

FILE = Path(__file__).with_name("commands.toml")
FILE_WORD, MISSING_WORD = "FILE", "MISSING"


@dataclass(frozen=True)
class Row:
    """A small call of a command; see commands.toml for the fields."""

    command: str
    arguments: tuple[str, ...]
    valid: tuple[str, ...] = ()
    name: str = ""
    stdin: bool = False
    codes: tuple[int, ...] = (0, 1, 2)
    weight: int = 0
    forbidden: Mapping[str, str] = field(default_factory=dict)
    endless: str = ""
    works: tuple[str, ...] = ()
    short: str = ""


def load() -> dict[str, Row]:
    """Return the row of each command."""
    table: dict[str, dict[str, Any]] = tomllib.loads(FILE.read_text("utf-8"))
    return {command: _row(command, row) for command, row in table.items()}


def _row(command: str, row: Mapping[str, Any]) -> Row:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row.items()
    }
    return Row(command, **values)


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every command that does something itself, such as "train gpt"."""
    top = main.parser(main.COMMANDS)
    return {
        name: parser
        for name, parser in main.subcommands(top)
        if not any(isinstance(each, argparse._SubParsersAction) for each in parser._actions)
    }
