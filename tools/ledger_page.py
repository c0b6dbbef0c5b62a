"""Writes docs/ledger.md from src/metalassay/claims/; `--check` only says whether it is up to date."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from metalassay.claims import catalogue as claims
from metalassay.claims import page
from metalassay.files import write_atomically

PAGE = Path(__file__).parents[1] / "docs" / "ledger.md"


def main() -> None:
    """Write the page, or with --check compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare the page")
    check = parser.parse_args().check
    fresh = page.page(claims.load())
    if check:
        same = PAGE.is_file() and PAGE.read_text("utf-8") == fresh
        sys.exit(0 if same else f"{PAGE.name} is not up to date: python tools/ledger_page.py")
    write_atomically(PAGE, fresh)


if __name__ == "__main__":
    main()
