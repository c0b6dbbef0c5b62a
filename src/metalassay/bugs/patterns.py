"""Turn the patterns of the data into regular expressions that match what people paste.

In the data a pattern is written as the library prints the message. Terminals wrap it at spaces, web
pages change or drop its quotation marks, and it must begin where a word begins.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

_GAP = r"\s{1,200}"  # bounded, or a long run of spaces would be scanned again from each of its ends
_QUOTE = "['\"`]?"
_PIECE = re.compile(r"\\.|\[(?:\\.|[^\]\\])+\]| [+*?]?|['`]\??", re.DOTALL)


@dataclass(frozen=True)
class Pattern:
    """A compiled pattern, and a word that a text contains if it matches; "" if none is certain."""

    expression: re.Pattern[str]
    word: str

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """Yield the matches in a text; cheap where the text lacks the word."""
        if self.word in text:
            yield from self.expression.finditer(text)


@functools.cache
def compiled(pattern: str) -> Pattern:
    """Compile a pattern of the data. Raises ``re.error`` if it is none."""
    return Pattern(re.compile(expression(pattern)), required_word(pattern))


def required_word(pattern: str) -> str:
    """Return the longest word without which a pattern cannot match, or "" if none is certain."""
    words, word, depth, position = [""], "", 0, 0
    while position < len(pattern):
        character = pattern[position]
        if depth == 0 and (character.isalnum() or character == "_"):
            word += character
            position += 1
            continue
        if character == "|" and depth == 0:
            return ""
        words.append(word[:-1] if character in "?*{" else word)
        word = ""
        if character == "{":
            position = pattern.index("}", position)
        elif character == "[":
            position = pattern.index("]", position + 2)
        elif character == "\\":
            position += 1
        depth += {"(": 1, ")": -1}.get(character, 0)
        position += 1
    return max([*words, word], key=len)


def expression(pattern: str) -> str:
    """Return the regular expression that a pattern of the data stands for.

    It begins at the beginning of a word. A space stands for any white space, and ``[^\\n]`` for any
    character, as terminals wrap at spaces; a quotation mark or backtick stands for any of them, or none.
    """
    return r"(?<!\w)(?:" + _PIECE.sub(_translate, pattern) + ")"


def _translate(piece: re.Match[str]) -> str:
    text = piece[0]
    if text[0] == " ":
        return r"\s{0,200}" if text[1:] in {"*", "?"} else _GAP
    if text[0] == "[":
        return r"[\s\S]" if text == r"[^\n]" else text.replace(" ", r"\s")
    return _QUOTE if text[0] in "'`" else text
