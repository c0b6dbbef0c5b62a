"""Texts in the reader's language: English, or Chinese where a catalogue has the sentence as it is today.

A catalogue is a TOML file beside the English text: a table per row, in which the fingerprint of an English
sentence has its translation. A sentence that was changed has another fingerprint, so a stale translation is
never shown: the English is, and ``untranslated`` counts it.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import hashlib
import os
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from importlib import resources

from metalassay.errors import UserError

ENGLISH, CHINESE = LANGUAGES = ("en", "zh")
VARIABLE = "METALASSAY_LANG"
LABELS = "labels"
"""The table of a catalogue whose keys are English words themselves: names of fields, verdicts."""
HELP = "en or zh: the language of the texts; default: that of the locale, or METALASSAY_LANG"

_language = contextvars.ContextVar("language", default=ENGLISH)
_missed: contextvars.ContextVar[set[str] | None] = contextvars.ContextVar("missed", default=None)
# Simplified Chinese: not for the locales whose readers write traditional characters.
_SIMPLIFIED = re.compile(r"zh(?:[_-](?:CN|SG|Hans(?:[_-]\w+)?))?(?:\..*)?", re.IGNORECASE)


def chosen(option: str | None, *, for_programs: bool = False) -> str:
    """Return the language of an option, else of METALASSAY_LANG, else of the locale.

    ``for_programs``: JSON is in English unless the option says otherwise. Raises ``UserError`` for an unknown one.
    """
    if option is None and for_programs:
        return ENGLISH
    wanted = option or os.environ.get(VARIABLE)
    if wanted:
        if wanted not in LANGUAGES:
            where = "--lang" if option else VARIABLE
            raise UserError(f"{where}: no texts in {wanted!r}", f"choose {' or '.join(LANGUAGES)}")
        return wanted
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next(filter(None, map(os.environ.get, names)), "")
    return CHINESE if _SIMPLIFIED.fullmatch(locale) else ENGLISH


@contextlib.contextmanager
def use(language: str) -> Iterator[None]:
    """Show texts in a language inside the block."""
    before, missed = _language.set(language), _missed.set(set())
    try:
        yield
    finally:
        _language.reset(before)
        _missed.reset(missed)


def current() -> str:
    """Return the language in use."""
    return _language.get()


def untranslated() -> int:
    """Return how many sentences were shown in English because they have no translation as they are today."""
    return len(_missed.get() or ())


def note() -> str:
    """Return a sentence about what is shown in English; "" where nothing is."""
    number = untranslated()
    return f"（{number} 处文字尚无中文译文，或译文已过期，以英文原文显示）" if number else ""


def fingerprint(text: str) -> str:
    """Return what an English sentence is known by: of its words, not of its line breaks."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:10]


def say(package: str, row: str, text: str) -> str:
    """Return a text in the language in use, from the catalogue of a package; English where that lacks it."""
    if current() == ENGLISH or not text:
        return text
    found = load(package).get(row, {}).get(fingerprint(text))
    if found is None:
        miss(text)
        return text
    return found


def miss(text: str) -> None:
    """Note that a text is shown in English."""
    missed = _missed.get()
    if missed is not None and current() != ENGLISH:
        missed.add(text)


def label(package: str, word: str) -> str:
    """Return a word of the page in the language in use."""
    if current() == ENGLISH:
        return word
    return load(package).get(LABELS, {}).get(word, word)


@functools.cache
def load(package: str) -> Mapping[str, Mapping[str, str]]:
    """Return the Chinese catalogue of a package: by row and fingerprint."""
    return tomllib.loads(resources.files(package).joinpath("zh.toml").read_text("utf-8"))


def columns(text: str) -> int:
    """Return the columns that a text takes in a terminal: two for a Chinese character."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def pad(text: str, size: int) -> str:
    """Return a text with blanks up to ``size`` columns."""
    return text + " " * (size - columns(text))


# What may not begin a line stays with the character before it, and an opening bracket with the next one.
_PIECES = re.compile(r"\s+|[（《“‘]*(?:[⺀-鿿＀-￯]|[!-~\u00a0-\u2e7f]+)[，。；：、！？）》”’…]*")


def wrap(text: str, width: int, first: str = "", later: str = "") -> list[str]:
    """Break a text into lines of at most ``width`` columns, also between Chinese characters."""
    lines, line, begun = [], first, False
    for piece in _PIECES.findall(text):
        if piece.isspace():
            line += " " * begun
            continue
        if begun and columns(line) + columns(piece) > width:
            lines.append(line.rstrip())
            line = later
        line, begun = line + piece, True
    return [*lines, line.rstrip()]
