"""Write the help of every command at 80 columns to tests/cli/help/; a test compares them.

python tools/help_pages.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from metalassay.cli import main
from metalassay.files import write_atomically

FOLDER = Path(__file__).parents[1] / "tests" / "cli" / "help"


def pages(width: int) -> Iterator[tuple[str, str]]:
    """Yield the name of every command and its help, on a terminal of ``width`` columns."""
    with mock.patch.dict("os.environ", {"COLUMNS": str(width)}):
        parser = main.parser(main.COMMANDS)
        yield "metalassay", parser.format_help()
        for name, command in main.subcommands(parser):
            yield name, command.format_help()


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for page, text in pages(80):
        write_atomically(FOLDER / f"{page.replace(' ', '-')}.txt", text)
