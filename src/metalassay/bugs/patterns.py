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


@dataclass(frozen=True)
class Pattern:
    """A compiled pattern, and words of which a text contains one if the pattern matches.

    Without words nothing is certain, and the pattern must be tried.
    """

    expression: re.Pattern[str]
    words: tuple[str, ...]

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """Yield the matches in a text; cheap where the text has none of the words."""
        if not self.words or any(word in text for word in self.words):
            yield from self.expression.finditer(text)


@functools.cache
def compiled(pattern: str) -> Pattern:
    """Compile a pattern of the data. Raises ``re.error`` if it is none."""
    return Pattern(re.compile(expression(pattern)), required_words(pattern))


def expression(pattern: str) -> str:
    """Return the regular expression that a pattern of the data stands for.

    It begins at the beginning of a word. A space stands for any white space; a quotation mark or
    backtick stands for any of them, or none.
    """
    parts = []
    for token in _tokens(pattern):
        parts.append({" ": _GAP, "'": _QUOTE, "`": _QUOTE, '"': _QUOTE}.get(token, token))
    boundary = r"(?<!\w)" if re.match(r"[\w('\"`]", pattern) else ""
    return f"{boundary}(?:{''.join(parts)})"


def required_words(pattern: str) -> tuple[str, ...]:
    """Return a word for each alternative of a pattern without which it cannot match.

    The words are the longest ones. () if an alternative has no word that is certain.
    """
    words: list[list[str]] = [[""]]
    word, depth = "", 0
    for part in [*_tokens(pattern), ""]:
        if depth == 0 and len(part) == 1 and (part.isalnum() or part == "_"):
            word += part
            continue
        if (part and part in "?*") or part.startswith("{"):
            word = word[:-1]  # the last character is optional
        words[-1].append(word)
        word = ""
        depth += {"(": 1, ")": -1}.get(part, 0)
        if part == "|" and depth == 0:
            words.append([""])
    longest = tuple(max(each, key=len) for each in words)
    return longest if all(longest) else ()


def _tokens(pattern: str) -> Iterator[str]:
    """Yield characters, escapes, character classes and repetitions."""
    at = 0
    while at < len(pattern):
        end = at + 1
        if pattern[at] == "\\":
            end = at + 2
        elif pattern[at] == "[":
            end = at + 2  # the first character of a class may be "]"
            while end < len(pattern) and pattern[end] != "]":
                end += 2 if pattern[end] == "\\" else 1
            end += 1
        elif pattern[at] == "{":
            end = pattern.find("}", at) + 1 or len(pattern)
        yield pattern[at:end]
        at = end
