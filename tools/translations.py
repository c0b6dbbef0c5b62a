"""Says which sentences have no Chinese translation as they are today, and which translations are stale.

    python tools/translations.py              counts, and every stale translation
    python tools/translations.py --missing claims
    python tools/translations.py --drop       removes the stale ones: the English is shown instead
    python tools/translations.py --add FILE   adds lines of --missing, with the translation for the English

The catalogues are src/metalassay/claims/zh.toml and src/metalassay/bugs/zh.toml.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from metalassay import bugs, claims, language
from metalassay.bugs import limits
from metalassay.claims import catalogue
from metalassay.files import write_atomically

ROOM = Path(__file__).parents[1] / "src" / "metalassay"
_LINE = re.compile(r"\[([\w-]+)\] ([0-9a-f]{10}) (.+)")
_ROW, _ENTRY = re.compile(r"\[([\w-]+)\]"), re.compile(r"([0-9a-f]{10}) = ")


def of_claims() -> Iterator[tuple[str, str]]:
    """Yield the row and the text of every sentence of the claims."""
    for claim in catalogue.load():
        yield claim.id, claim.claim
        yield claim.id, claim.truth


def of_bugs() -> Iterator[tuple[str, str]]:
    """Yield the row and the text of every sentence of the known bugs and limits that an answer has."""
    for bug in bugs.load():
        for text in (bug.title, " ".join(bug.cause.split()), *bug.not_fixes):
            yield bug.id, text
        for fix in bug.fixes:
            yield bug.id, fix.text
    for limit in limits.load():
        rows: tuple[limits.Limit | limits.Case, ...] = (limit, *limit.cases)
        for row in rows:
            texts = (row.title, row.cause, row.sure, *(row.do or ()), *(row.not_help or ()))
            yield from ((limit.id, text) for text in texts if text)


SENTENCES = {claims.__name__: of_claims, bugs.__name__: of_bugs}


def english(package: str) -> dict[str, dict[str, str]]:
    """Return the English sentences of a package: by row and fingerprint."""
    rows: dict[str, dict[str, str]] = {}
    for row, text in SENTENCES[package]():
        rows.setdefault(row, {})[language.fingerprint(text)] = text
    return rows


def stale(package: str) -> list[tuple[str, str]]:
    """Return the row and the fingerprint of each translation whose sentence is not there any more."""
    there: Mapping[str, Mapping[str, str]] = english(package)
    return [
        (row, known)
        for row, texts in language.load(package).items()
        if row != language.LABELS
        for known in texts
        if known not in there.get(row, {})
    ]


def drop(text: str, gone: list[tuple[str, str]]) -> str:
    """Return a catalogue without these translations."""
    row, kept = "", []
    for line in text.splitlines(keepends=True):
        if found := _ROW.match(line):
            row = found[1]
        entry = _ENTRY.match(line)
        if entry is None or (row, entry[1]) not in gone:
            kept.append(line)
    return "".join(kept)


def add(text: str, new: Mapping[str, Mapping[str, str]]) -> str:
    """Return a catalogue with further translations, by row and fingerprint; a row that it lacks goes to its end."""
    left = {row: dict(texts) for row, texts in new.items()}
    lines: list[str] = []
    for table in re.split(r"(?m)^(?=\[)", text):
        found = _ROW.match(table)
        texts = left.pop(found[1], {}) if found else {}
        lines.append(table.rstrip("\n") + "\n" + _entries(texts) + "\n")
    lines += [f"[{row}]\n{_entries(texts)}\n" for row, texts in left.items()]
    return "".join(lines).rstrip("\n") + "\n"


def _entries(texts: Mapping[str, str]) -> str:
    return "".join(
        f"{known} = {json.dumps(text, ensure_ascii=False)}\n" for known, text in texts.items()
    )


def _add(path: Path) -> None:
    """Add the lines of a file whose sentences are there and have no translation."""
    lines = [_LINE.fullmatch(line) for line in path.read_text("utf-8").splitlines()]
    for package in SENTENCES:
        there, have = english(package), language.load(package)
        new: dict[str, dict[str, str]] = {}
        for found in filter(None, lines):
            row, known, text = found.groups()
            if known in there.get(row, {}) and known not in have.get(row, {}):
                new.setdefault(row, {})[known] = text
        print(f"{package}: {sum(map(len, new.values()))} added")
        if new:
            target = ROOM / package.rpartition(".")[2] / "zh.toml"
            write_atomically(target, add(target.read_text("utf-8"), new))


def main() -> int:
    """Print what is missing or stale; return 1 if something is stale and stays."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--missing", choices=("claims", "bugs"), help="print what to translate")
    parser.add_argument("--drop", action="store_true", help="remove stale translations")
    parser.add_argument("--add", type=Path, metavar="FILE", help="add translations")
    options = parser.parse_args()
    if options.add:
        _add(options.add)
        return 0
    if options.missing:
        package = f"metalassay.{options.missing}"
        for row, texts in english(package).items():
            for known, text in texts.items():
                if known not in language.load(package).get(row, {}):
                    print(f"[{row}] {known} {text}")
        return 0
    left = 0
    for package in SENTENCES:
        sentences = {(row, known) for row, texts in english(package).items() for known in texts}
        have = {(row, known) for row, texts in language.load(package).items() for known in texts}
        gone = stale(package)
        print(
            f"{package}: {len(sentences & have)} of {len(sentences)} sentences, {len(gone)} stale"
        )
        for row, known in gone:
            print(f"  [{row}] {known} {language.load(package)[row][known]}")
        path = ROOM / package.rpartition(".")[2] / "zh.toml"
        if options.drop and gone:
            write_atomically(path, drop(path.read_text("utf-8"), gone))
        else:
            left += len(gone)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
