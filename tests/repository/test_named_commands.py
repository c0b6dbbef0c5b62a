"""The data of known bugs and limits tells people to run commands; each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

from metalassay.cli.main import COMMANDS

PACKAGE = Path(__file__).parents[2] / "src" / "metalassay"


def test_every_command_that_the_data_names_exists() -> None:
    named = {
        (path.name, name)
        for path in PACKAGE.rglob("*.toml")
        for name in re.findall(r"\bmetalassay ([a-z][a-z-]+)", path.read_text("utf-8"))
    }
    assert named
    assert {(file, name) for file, name in named if name not in COMMANDS} == set()
