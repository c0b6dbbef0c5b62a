"""The command `metalassay submit`: make an anonymous copy of a result file."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from metalassay.cli import option_types
from metalassay.errors import UserError, cannot_write

if TYPE_CHECKING:
    from metalassay.results.anonymise import Stripped


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Check that files are results, and write copies that hold nothing but what each field of"
        " a result may contain: numbers, times, versions, names of public packages and tests, the"
        " computer's model. Of free text it keeps the words that metalassay itself uses. So names,"
        " paths, addresses and serial numbers are not copied. Prints the text that was kept, and"
        " what was removed. Sends nothing: you attach the copy to an issue."
    )
    parser.epilog = """\
examples:
  metalassay submit reports/benchmarks/*/0001*.json   writes 0001....submit.json here
  metalassay submit run.json --output to-send.json

exit code: 0 all copies are written, 2 bad input, and then none is written"""
    parser.add_argument(
        "files", nargs="+", type=option_types.path, metavar="FILE", help="result files"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=option_types.path,
        metavar="PATH",
        help="the copy of a single FILE, or an existing folder (default: NAME.submit.json here)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay.environment import project_home
    from metalassay.files import write_atomically
    from metalassay.results import anonymise, find_files

    targets = _targets(find_files.named(options.files), options.output)
    names = anonymise.of_this_machine()
    # All copies are made before the first is written: half a submission is useless.
    copies = {target: _strip(path, names) for target, path in targets.items()}
    for target, stripped in copies.items():
        try:
            write_atomically(target, stripped.text)
        except OSError as error:
            raise cannot_write(target, error, "name another file with --output") from None
        print(f"{targets[target]} -> {target}")
        for line in _account(stripped):
            print(f"  {line}")
    place = project_home.where_to_attach(project_home.project_urls())
    print(f"Nothing was sent. Read the copy, then attach it to {place}.")
    return 0


def _account(stripped: Stripped) -> Iterator[str]:
    """Yield what the copy contains, its free text word by word, and what is not in it."""
    counts = ", ".join(f"{number:,} {what}" for what, number in stripped.kept.items())
    yield f"kept: {counts or 'nothing'}"
    for text, place in stripped.free.items():
        first, *more = text.strip("\n").split("\n")
        yield f"kept, as text: {place}: {first}"
        yield from (f"    {line}" for line in more)
    removed: dict[tuple[str, str], int] = {}
    for (place, kind), times in stripped.removed.items():
        # One line for all tests of all bugs: nobody reads a thousand.
        key = (re.sub(r"\[\d+\]", "[]", place), kind)
        removed[key] = removed.get(key, 0) + times
    for (place, kind), times in removed.items():
        yield f"removed: {place}: {kind}{f', {times:,} times' if times > 1 else ''}"
    if not removed:
        yield "nothing to remove"


def _targets(files: list[Path], output: Path | None) -> dict[Path, Path]:
    """Return where the copy of each file goes, each under its own name, which is not that of any file given."""
    from metalassay.results.source import shown

    folder = output if output is not None and output.is_dir() else None
    if output is not None and folder is None and len(files) > 1:
        raise UserError(
            f"{shown(output)} is not a folder, and {len(files)} copies need one",
            "make the folder, or name one FILE",
        )
    targets: dict[Path, Path] = {}
    sources = {os.path.realpath(path) for path in files}
    for path in files:
        single = output if folder is None else None
        target = single or (folder or Path()) / f"{path.name.removesuffix('.json')}.submit.json"
        if target in targets:
            raise UserError(
                f"{shown(targets[target])} and {shown(path)} would have the same copy",
                "submit one of them with --output",
            )
        if os.path.realpath(target) in sources:
            raise UserError(
                f"the copy would replace {shown(target)}", "name another file with --output"
            )
        targets[target] = path
    return targets


def _strip(path: Path, names: list[tuple[str, str]]) -> Stripped:
    from metalassay.fields import FieldError
    from metalassay.results import anonymise, find_files
    from metalassay.results.source import shown

    if path.is_dir():
        raise UserError(f"{shown(path)} is a folder", "name result files, one by one")
    (source,) = find_files.find([path])
    try:
        return anonymise.strip(source.read(), names)
    except FieldError as error:
        raise UserError(
            f"{source.shown}: {error}", "submit a file that metalassay left under reports/"
        ) from None
