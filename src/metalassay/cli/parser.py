"""The parser of all commands: short usage errors, and help that fits the terminal."""

from __future__ import annotations

import argparse
import difflib
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

NARROWEST = 20  # columns; below that nothing can be laid out


def columns() -> int:
    """Return the width for help: the terminal's, or COLUMNS, but at most 100 columns."""
    return max(NARROWEST, min(shutil.get_terminal_size().columns, 100))


class Parser(argparse.ArgumentParser):
    """A parser whose usage errors are two lines: what is wrong, and the next command to type."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("formatter_class", HelpFormatter)
        super().__init__(*arguments, **options)
        self.color = (
            False  # Python 3.14 colours help by default; the same text is wanted everywhere
        )

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and the next step, and exit with 2."""
        self.exit(2, f"metalassay: {message}\n  next: {self.prog} --help\n")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Refuse unknown options here, where ``prog`` names the command.

        argparse would hand them up to the program, and the next step would be ``metalassay --help``.
        """
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options, unknown

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
        text = action.help
        shown = action.default not in (None, False, True, argparse.SUPPRESS, [], "", 0)
        zero = action.default == 0 and action.default is not False and action.type is not None
        if text and (shown or zero) and action.nargs != 0 and "default" not in text:
            value = f"{action.default:g}" if isinstance(action.default, float) else "%(default)s"
            text += f" (default: {value})"
        return text

    def _format_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any) -> str:
        text = super()._format_usage(usage, actions, groups, prefix)
        lines = []
        for line in text.splitlines():
            wrapped = textwrap.wrap(
                line,
                self._width,
                subsequent_indent=" " * 11,
                break_long_words=False,
                break_on_hyphens=False,
                drop_whitespace=True,
            )
            lines += wrapped or [""]
        return "\n".join(lines) + "\n"


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
