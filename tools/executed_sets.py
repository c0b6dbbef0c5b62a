"""Write which sets of versions were executed, from the verdict files in docs/evidence/compat/.

    python tools/executed_sets.py            write src/metalassay/environment/executed.json
    python tools/executed_sets.py --check    exit code 1 if that file is not current

A set counts where the whole suite ran, or all but its slow tests, and no test ended in another way than
the data about bugs says. A test holds the file against the evidence.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from metalassay.bugs import verdict
from metalassay.environment import executed
from metalassay.files import write_atomically
from metalassay.results import load
from metalassay.results.verdict_file import VersionSet

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "docs" / "evidence" / "compat"
TARGET = ROOT / "src" / "metalassay" / "environment" / "executed.json"


def scope(found: VersionSet) -> str | None:
    """Return how much of the suite ran on a set; None where that, or its outcome, proves nothing."""
    if found.red or found.distrusted or found.not_installable or found.selection.partial:
        return None
    options = list(found.selection.arguments)
    if options[:2] != ["compat", "--set"]:
        return None
    if options[3:] == ["-m", "not slow"]:
        return executed.QUICK
    return executed.FULL if not options[3:] else None


def document(sets: list[VersionSet]) -> str:
    """Return the text of the file."""
    counted = {found.id: (found, scope(found)) for found in sets}
    rows: list[dict[str, Any]] = []
    ids = sorted({bug.id for found, part in counted.values() if part for bug in broken(found)})
    for name, (found, part) in sorted(counted.items()):
        if part is None:
            continue
        pins = (line.partition("==") for line in found.origin.lock)
        versions = {**{package: version for package, _, version in pins}, **found.versions}
        rows.append(
            {
                "id": name,
                "scope": part,
                "system": found.hardware.system,
                "versions": {
                    package: versions[package]
                    for package in executed.DECISIVE
                    if package in versions
                },
                "broken": [ids.index(bug.id) for bug in broken(found)],
            }
        )
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    return f'{{"bugs": {json.dumps(ids)},\n"rows": [\n{lines}\n]}}\n'


def broken(found: VersionSet) -> list[Any]:
    """Return the bugs that a set showed."""
    return [bug for bug in found.bugs if bug.verdict in (verdict.BROKEN, verdict.PATCHED)]


def main() -> None:
    """Write the file, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    text = document(list(load.load([EVIDENCE]).compat))
    if not options.check:
        write_atomically(TARGET, text)
    elif not TARGET.is_file() or TARGET.read_text("utf-8") != text:
        sys.exit(f"{TARGET.name} is not current: python tools/executed_sets.py")


if __name__ == "__main__":
    main()
