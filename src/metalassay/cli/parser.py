"""The parser of all commands: short usage errors, and help that fits the terminal."""

from __future__ import annotations

import argparse
import difflib
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from metalassay import streams
from metalassay.cli import option_types
from metalassay.errors import UserError

NARROWEST = 20  # columns; below that nothing can be laid out


def columns() -> int:
    """Return the width for help: the terminal's, or COLUMNS, but at most 100 columns."""
    return max(NARROWEST, min(shutil.get_terminal_size().columns, 100))


class Parser(argparse.ArgumentParser):
    """A parser whose usage errors are two lines: what is wrong, and the next command to type."""

    collects = ""
    """The positional argument that takes the words between and behind options too."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("formatter_class", HelpFormatter)
        super().__init__(*arguments, **options)
        # Python 3.14 colours help by default; the text is to be the same everywhere.
        self.color = False

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and the next step, and exit with 2."""
        self.exit(streams.failed(UserError(message, f"{self.prog} --help")))

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Refuse unknown options here, where ``prog`` names the command.

        argparse would hand them up to the program, and the next step would be ``metalassay --help``.
        """
        given = list(sys.argv[1:] if args is None else args)
        options, unknown = super().parse_known_args(self._without_swallowing(given), namespace)
        if self.collects and not any(word.startswith("-") for word in unknown):
            # argparse ends a list of words at the first option behind it.
            setattr(options, self.collects, [*getattr(options, self.collects), *unknown])
            return options, []
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options, unknown

    def _without_swallowing(self, words: list[str]) -> list[str]:
        """Return the words with ``--option=DEFAULT`` where the next word is not for the option.

        argparse gives an option whose value may be left out the next word: ``run --profile python train.py``
        would be refused, and ``run --emulate-mps python train.py`` would run train.py alone. A number
        or a version begins with a digit; a folder may be any word, unless the command then lacks one.
        """
        takes_words = [
            action
            for action in self._actions
            if not action.option_strings and not isinstance(action, argparse._SubParsersAction)
        ]
        end = words.index("--") if "--" in words else len(words)
        doubtful, free, place = -1, end < len(words), 0
        while place < end:
            action = self._option(words[place])
            value = words[place + 1] if place + 1 < end else "-"
            if action is None:
                free |= not words[place].startswith("-")
            elif action.nargs == argparse.OPTIONAL and not value.startswith("-"):
                if action.type is not option_types.path and not value[0].isdigit():
                    doubtful, free = place, False
                    break
                doubtful = place if action.type is option_types.path else doubtful
                place += 1
            elif action.nargs is None:
                place += 1
            place += 1
        if doubtful < 0 or free or not takes_words:
            return words
        action = self._option(words[doubtful])
        default = "" if action is None or action.const is None else action.const
        return [*words[:doubtful], f"{words[doubtful]}={default}", *words[doubtful + 1 :]]

    def _option(self, word: str) -> argparse.Action | None:
        """Return the option that a word without a value names, also by its beginning."""
        if word in self._option_string_actions:
            return self._option_string_actions[word]
        named = [
            action
            for string, action in self._option_string_actions.items()
            if word.startswith("--") and string.startswith(word)
        ]
        return named[0] if len(named) == 1 else None

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """Refuse ``--option=--``: argparse takes the value away, and the option gets an empty list."""
        if action.option_strings and "--" in arg_strings and action.nargs != argparse.REMAINDER:
            raise argparse.ArgumentError(action, "-- is not a value")
        return super()._get_values(action, arg_strings)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            near = difflib.get_close_matches(str(value), action.choices, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.error(f"there is no {action.metavar} {str(value)[:40]!r}{hint}")
        super()._check_value(action, value)


class HelpFormatter(argparse.HelpFormatter):
    """Wraps prose at the terminal's width, keeps indented examples, and shows every default."""

    def __init__(self, prog: str, **options: Any) -> None:
        width = columns()
        options = {**options, "width": width, "max_help_position": min(24, width // 3)}
        super().__init__(prog, **options)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line if line else "" for line in fill(text, width - len(indent)))

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text, value = action.help, action.default
        # By type: 1 and 0 are defaults to show, and equal True and False.
        nothing = value is None or isinstance(value, bool) or value in (argparse.SUPPRESS, [], "")
        if not text or nothing or action.nargs == 0 or "(default: " in text:
            return text
        shown = f"{value:g}" if isinstance(value, float) else "%(default)s"
        return f"{text} (default: {shown})"

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """Return "-o, --output DIR", as argparse does since Python 3.13."""
        if not action.option_strings:
            return super()._format_action_invocation(action)
        return f"{', '.join(action.option_strings)}{self._value_of(action)}"

    def _format_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any) -> str:
        """Return the usage, within the width and the same on every Python.

        argparse wraps it differently from release to release, and colours it since 3.14.
        """
        start = "usage: " if prefix is None else prefix
        if usage is not None:
            words, indent = (usage % {"prog": self._prog}).split(), " " * 11
            return _join(start, words, indent, self._width) + "\n\n"
        options, positionals = self._usage_parts(actions, groups)
        start += self._prog + " "
        indent = " " * len(start) if len(start) <= self._width // 2 else " " * 7
        text = _join(start, options + positionals, indent, self._width)
        if "\n" in text and positionals:
            text = _join(start, options, indent, self._width) + "\n"
            text += _join(indent, positionals, indent, self._width)
        return text + "\n\n"

    def _usage_parts(self, actions: Any, groups: Any) -> tuple[list[str], list[str]]:
        """Return the options and the positional arguments, each as it is written in the usage."""
        grouped = {}
        for group in groups:
            members = [
                action for action in group._group_actions if action.help != argparse.SUPPRESS
            ]
            if all(action.option_strings for action in members):
                grouped.update({id(action): members for action in members})
        options, positionals = [], []
        for action in actions:
            if action.help == argparse.SUPPRESS:
                continue
            if not action.option_strings:
                default = self._get_default_metavar_for_positional(action)
                positionals.append(self._format_args(action, default))
                continue
            members = grouped.get(id(action), [action])
            if action is members[0]:
                ways = [f"{member.option_strings[0]}{self._value_of(member)}" for member in members]
                options.append(f"[{' | '.join(ways)}]")
        return options, positionals

    def _value_of(self, action: argparse.Action) -> str:
        """Return what follows an option's name: a space and its value, or nothing for a flag."""
        if action.nargs == 0:
            return ""
        return " " + self._format_args(action, self._get_default_metavar_for_optional(action))


def _join(start: str, parts: Sequence[str], indent: str, width: int) -> str:
    """Return ``start`` and the parts on lines of at most ``width``; a part is broken only if it must be."""
    lines = [start.rstrip(" ") if start.strip() else start]
    for part in parts:
        pieces = [part] if len(indent) + len(part) <= width else part.split()
        for piece in pieces:
            gap = " " if lines[-1].strip() else ""
            if lines[-1].strip() and len(lines[-1]) + len(gap) + len(piece) > width:
                lines.append(indent)
                gap = ""
            lines[-1] += gap + piece
    return "\n".join(lines)


def fill(text: str, width: int) -> list[str]:
    """Return the lines of ``text``: paragraphs wrapped, and indented lines kept while they fit."""
    lines: list[str] = []
    paragraph: list[str] = []

    def end_paragraph() -> None:
        lines.extend(textwrap.wrap(" ".join(paragraph), width, break_on_hyphens=False))
        paragraph.clear()

    for line in text.splitlines():
        if line and not line.startswith(" ") and not line.endswith(":"):
            paragraph.append(line)
            continue
        if line.endswith(":") and not line.startswith(" "):
            paragraph.append(line)
            end_paragraph()
            continue
        end_paragraph()
        lines.extend(_example(line, width))
    end_paragraph()
    return lines


def _example(line: str, width: int) -> list[str]:
    """Return an indented line; one that is too wide has its comment on a line of its own."""
    if len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    command, gap, comment = line.strip().partition("   ")
    parts = [command, "    " + comment.strip()] if gap else [command]
    return [
        wrapped
        for part in parts
        for wrapped in textwrap.wrap(
            indent + part, width, subsequent_indent=indent + "    ", break_on_hyphens=False
        )
    ]
