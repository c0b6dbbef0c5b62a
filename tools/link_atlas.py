"""Write src/metalassay/linkcheck/data/*.json.gz from the released wheels.

    python tools/link_atlas.py --cache DIR                 read every release in DIR, then write the data
    python tools/link_atlas.py --cache DIR --shard 2/4     read a quarter of them into a journal, write no data
    python tools/link_atlas.py --cache DIR --merge FILE …  join the journals of shards, and write the data
    python tools/link_atlas.py --cache DIR --audit         read again, and compare with the data

The wheels are those of `nox -s api`; none is downloaded, imported or executed. A release is one cell:
what it uses of the others, tested against every release of each by the API history. Finished cells
are kept in a journal (--journal), so that an interrupted run loses one cell, and goes on there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from link_reader import cell, table
from packaging.version import Version

from metalassay.errors import UserError

PACKAGES = ("accelerate", "datasets", "peft", "transformers", "trl")
ROOT = Path(__file__).parents[1]
SOURCES = (ROOT / "src" / "metalassay" / "linkcheck", Path(__file__).parent / "link_reader")
DATA = ROOT / "src" / "metalassay" / "linkcheck" / "data"
CACHE = Path.home() / ".cache" / "metalassay" / "api-history"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", default=CACHE, help="folder of wheels")
    parser.add_argument(
        "--journal", type=Path, metavar="FILE", help="default: DIR/link-atlas.jsonl"
    )
    parser.add_argument("--shard", metavar="K/N", default="1/1", help="read every N-th release")
    parser.add_argument("--resume", action="store_true", help="use cells that other code has read")
    parser.add_argument("--merge", type=Path, nargs="+", metavar="FILE", help="join these journals")
    parser.add_argument("--audit", action="store_true", help="write nothing; compare with the data")
    chosen = parser.parse_args(arguments)
    try:
        first, last = map(int, chosen.shard.split("/"))
    except ValueError:
        parser.error(f"--shard {chosen.shard}: write it as 2/4")
    if not 1 <= first <= last:
        parser.error(f"--shard {chosen.shard}: write it as 2/4")
    chosen.shard = (first, last)
    return chosen


def wheels(folder: Path) -> list[tuple[str, str, Path]]:
    """Return package, version and path of every wheel, packages one after the other, the oldest first."""
    found = []
    for package in PACKAGES:
        here = [(path.name.split("-")[1], path) for path in folder.glob(f"{package}-*.whl")]
        found += [
            (package, version, path)
            for version, path in sorted(here, key=lambda each: Version(each[0]))
        ]
    if not found:
        raise UserError(f"{folder}: there are no wheels", "fetch them with: nox -s api")
    return found


def code() -> str:
    """Return a hash of the code that reads cells."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted(folder.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def journalled(path: Path, any_code: bool) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the finished cells of a journal; a line that was cut off is left out."""
    found = {}
    mine = code()
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            each = json.loads(line)
        except json.JSONDecodeError:
            continue
        if any_code or each["code"] == mine:
            found[each["package"], each["version"]] = each
    return found


def read(
    todo: Sequence[tuple[str, str, Path]],
    journal: Path,
    done: dict[tuple[str, str], dict[str, Any]],
) -> None:
    """Read the cells that are not done, and append each to the journal."""
    mine = code()
    kept: dict[Any, Any] = {}
    last = ""
    journal.parent.mkdir(parents=True, exist_ok=True)
    whole = not journal.exists() or journal.read_bytes()[-1:] in (b"\n", b"")
    with journal.open("a", encoding="utf-8") as stream:
        if not whole:
            stream.write("\n")
        for number, (package, version, path) in enumerate(todo, 1):
            if package != last:
                kept, last = {}, package
            if (package, version) in done:
                continue
            begin = time.process_time()
            found = {"code": mine, **cell.read(path, package, version, kept)}
            stream.write(json.dumps(found, separators=(",", ":")) + "\n")
            stream.flush()
            done[package, version] = found
            spent = time.process_time() - begin
            print(
                f"{number}/{len(todo)} {package} {version}: {len(found['found'])} uses, {spent:.1f} s CPU",
                flush=True,
            )


def compare(files: dict[str, bytes]) -> int:
    """Say which data files differ from ``files``; return the exit code."""
    changed = [name for name, content in files.items() if (DATA / name).read_bytes() != content]
    print(f"would change: {', '.join(changed)}" if changed else "the data agrees with the wheels")
    return int(bool(changed))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit code."""
    chosen = parse(arguments)
    journal = chosen.journal or chosen.cache / "link-atlas.jsonl"
    try:
        everything = wheels(chosen.cache)
        done = journalled(journal, chosen.resume)
        for path in chosen.merge or ():
            done |= journalled(path, chosen.resume)
        if chosen.audit:
            done = {}
            journal = journal.with_suffix(".audit.jsonl")
            journal.unlink(missing_ok=True)
        first, last = chosen.shard
        todo = [each for at, each in enumerate(everything) if at % last == first - 1]
        if not chosen.merge:
            read(todo, journal, done)
        if last > 1 and not chosen.merge:
            print(f"shard {first}/{last} is in {journal}; join them with --merge")
            return 0
        missing = [each for each in everything if each[:2] not in done]
        if missing:
            raise UserError(
                f"{len(missing)} releases were not read, such as {missing[0][0]} {missing[0][1]}",
                "run their shard",
            )
        files = table.files([done[package, version] for package, version, _ in everything])
        if chosen.audit:
            return compare(files)
        DATA.mkdir(exist_ok=True)
        for name, content in files.items():
            (DATA / name).write_bytes(content)
            print(f"{name}: {len(content) / 1000:.0f} kB")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except (OSError, zipfile.BadZipFile) as error:
        print(f"a wheel or a journal cannot be read: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
