"""Write the pairs of answers that `metalassay train dpo` learns from without --data.

    python tools/preference_pairs.py            write both files
    python tools/preference_pairs.py --check    write nothing; exit with code 1 if a file would change

They are made of the dialogues in the package: of an answer of several clauses, the first clause is
preferred to the whole. What a model learns of them can be counted: whether its answers become short.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from metalassay.files import write_atomically
from metalassay.training.gpt import dialogues, fine_tuning

FILES = {dialogues.TRAINING: fine_tuning.PAIRS, dialogues.TEST: fine_tuning.TEST_PAIRS}
_FIRST_CLAUSE = re.compile(r"(.+?)(?:[,;:.] |[，；。：])(?=.)")  # noqa: RUF001
_SHORTEST = {
    True: 16,
    False: 5,
}  # characters of a first clause that says something, in ASCII or not
_BEFORE_ANOTHER = ("If ", "When ", "As ", "In ", "To ", "After ", "Before ", "如果", "先", "因为")


def pair(text: str) -> dict[str, str] | None:
    """Return the pair of a dialogue, None if its answer has a single clause."""
    question, answer = re.findall(
        f"{re.escape(dialogues.START)}(.*?){re.escape(dialogues.END)}", text
    )[:2]
    found = _FIRST_CLAUSE.match(answer)
    if not found or answer.startswith(_BEFORE_ANOTHER):
        return None
    clause = found[1]
    if len(clause) < _SHORTEST[clause.isascii()]:
        return None
    stop = "." if clause.isascii() else "。"
    return {"prompt": question, "chosen": clause + stop, "rejected": answer}


def content(source: Path) -> str:
    """Return the lines of the pairs of a file of dialogues."""
    pairs = [pair(line.text) for line in dialogues.lines(source) if line.text]
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in pairs if each)


def main() -> int:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    differ = 0
    for source, target in FILES.items():
        made = content(source)
        if options.check:
            differ += not target.exists() or target.read_text("utf-8") != made
        else:
            write_atomically(target, made)
        print(f"{target.name}: {made.count(chr(10))} pairs")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
