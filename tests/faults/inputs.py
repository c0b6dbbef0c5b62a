"""Makes hostile inputs: a small call of a command, changed in one to three places."""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.faults import hostile
from tests.faults.commands import FILE_WORD, MISSING_WORD, Row

RARE = 200  # of that many inputs, about one calls a command that imports torch
FORBIDDEN_WORDS = frozenset({"--apply", "--yes", "--fix", "--undo"})


@dataclass(frozen=True)
class Input:
    """One call: all that is needed to repeat it, and nothing else."""

    command: str
    arguments: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)  # the kind of each file, by its name
    stdin: str = ""  # the kind of the file that it reads; "": nothing
    surroundings: str = "plain"
    seed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it for a file; lone surrogates stay what they are."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Input:
        """Return what ``as_json`` wrote."""
        return Input(**{**value, "arguments": tuple(value["arguments"])})


def make(
    rows: Mapping[str, Row],
    parsers: Mapping[str, argparse.ArgumentParser],
    seed: int,
    command: str = "",
) -> Input:
    """Return the input of a seed, of that command or of one by its weight."""
    chance = random.Random(seed)
    if not command:
        rare = chance.random() < 1 / RARE
        several = [row for row in rows.values() if bool(row.weight) != rare]
        weights = [row.weight or 1 for row in several]
        (row,) = chance.choices(several, weights)
    else:
        row = rows[command]
    parser = parsers[row.command]
    files: dict[str, str] = {}

    def a_file(kind: str = "") -> str:
        name = row.name or chance.choice(hostile.NAMES)
        files[name] = kind or chance.choice(list(hostile.FILES))
        return name if not name.startswith("-") or chance.random() < 0.3 else f"./{name}"

    arguments: list[str] = []
    for word in row.arguments:
        if word == FILE_WORD:
            arguments.append(a_file("valid" if chance.random() < 0.3 else ""))
        else:
            arguments.append("missing-file" if word == MISSING_WORD else word)
    if row.name and chance.random() < 0.9:
        a_file()
    options = [
        action
        for action in parser._actions
        if action.option_strings
        and action.dest != "help"
        and not set(action.option_strings) & (row.forbidden.keys() | FORBIDDEN_WORDS)
    ]
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        _change(arguments, options, chance, a_file)
    stdin = ""
    if row.stdin and chance.random() < 0.7:
        stdin = chance.choice(
            [kind for kind in hostile.FILES if "link" not in kind and kind != "folder"]
        )
        stdin = "mutated" if stdin in ("pipe", "socket", "unreadable") else stdin
    surroundings = "plain"
    if chance.random() < 0.35:
        surroundings = chance.choice(list(hostile.SURROUNDINGS))
    return Input(row.command, tuple(arguments), files, stdin, surroundings, seed)


def _change(
    arguments: list[str], options: list[argparse.Action], chance: random.Random, a_file: Any
) -> None:
    """Change the arguments in one place."""
    value = a_file() if chance.random() < 0.35 else chance.choice(hostile.TEXTS)
    what = chance.random()
    if what < 0.65 and options:
        action = chance.choice(options)
        name = chance.choice(action.option_strings)
        if chance.random() < 0.05:
            name = name[: chance.randint(1, len(name))]  # an abbreviation
        if action.nargs == 0 and chance.random() < 0.9:
            new = [name]
        elif action.choices and chance.random() < 0.5:
            new = [name, str(chance.choice(list(action.choices)))]
        else:
            new = chance.choice(([name, value], [f"{name}={value}"], [f"{name}=--"], [name]))
        at = chance.choice((0, len(arguments)))
        arguments[at:at] = new
        if FORBIDDEN_WORDS & {each.partition("=")[0] for each in new} or _is_short_of_one(new[0]):
            del arguments[at : at + len(new)]
    elif what < 0.85 and arguments:
        arguments[chance.randrange(len(arguments))] = value
    elif what < 0.95:
        arguments.insert(chance.randint(0, len(arguments)), value)
    elif arguments:
        del arguments[chance.randrange(len(arguments))]


def _is_short_of_one(word: str) -> bool:
    """Whether argparse could take a word for an option that no input may have."""
    word = word.partition("=")[0]
    return (
        word.startswith("--")
        and len(word) > 2
        and any(each.startswith(word) for each in FORBIDDEN_WORDS)
    )
