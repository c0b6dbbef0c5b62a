"""Options from a file: ``--config FILE`` with a TOML or JSON table of a command's own options."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from metalassay import files
from metalassay.cli import option_types, parser
from metalassay.fields import one_line, printable

OPTION = "--config"
_SHORTEST = "--conf"  # the shortest abbreviation that is not also one of --context
_NEXT_STEP = "write each option as its name without dashes, such as: steps = 200"


def add(command: argparse.ArgumentParser) -> None:
    """Add ``--config`` to the options; the parser has to be this module's ``Parser``."""
    command.add_argument(
        OPTION,
        type=option_types.path,
        metavar="FILE",
        help="read options from a TOML or JSON file; those of the command line come first",
    )


class Parser(parser.Parser):
    """A parser that reads the options of a file before those of the command line, which so replace them."""

    _file: Path | None = None  # that is being read

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse the options of the file alone, so that an error names it, and then all options."""
        words = list(args or ())
        path = _named(words)
        if path is None:
            return super().parse_known_args(words, namespace)
        self._file = path
        from_file = list(self._words(path))
        super().parse_known_args(from_file)
        self._file = None
        return super().parse_known_args([*from_file, *words], namespace)

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, in which file, and the next step, and exit with 2."""
        super().error(f"{_shown(self._file)}: {message}" if self._file else message)

    def _words(self, path: Path) -> Iterator[str]:
        read = files.read_json if path.suffix.lower() == ".json" else files.read_toml
        table = read(path, _NEXT_STEP)
        if not isinstance(table, dict):
            self.error("not a table of options")
        actions = {
            name.removeprefix("--"): action
            for action in self._actions
            for name in action.option_strings
            if name.startswith("--") and name not in (OPTION, "--help")
        }
        for key, value in table.items():
            name = key.replace("_", "-")
            if name not in actions:
                near = difflib.get_close_matches(name, actions, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                self.error(f"there is no option {one_line(printable(key))[:40]!r}{hint}")
            if actions[name].nargs == 0:
                if not isinstance(value, bool):
                    self.error(f"{name} must be true or false")
                if value:
                    yield f"--{name}"
            elif isinstance(value, bool) or not isinstance(value, str | int | float):
                self.error(f"{name} must be a number or a text")
            else:
                yield f"--{name}={value}"


def _named(words: Sequence[str]) -> Path | None:
    """Return the file that the last ``--config`` among the words names, None without one."""
    found = None
    for index, word in enumerate(words):
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if OPTION.startswith(name) and len(name) >= len(_SHORTEST):
            if equals:
                found = value
            elif index + 1 < len(words):
                found = words[index + 1]
    return Path(found) if found else None


def _shown(path: Path) -> str:
    return one_line(printable(str(path)))
