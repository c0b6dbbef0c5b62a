"""A damaged matrix.toml: every command that reads it works, or says on one line which row and field is wrong.

The damages are drawn at random; a failure prints the seed of its own. ``MUTATIONS=3000`` draws more.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from metalassay.cli.main import main
from metalassay.errors import UserError
from metalassay.matrix import matrix_file, resolver, run_rows
from metalassay.matrix.matrix_file import Row
from metalassay.matrix.resolver import Resolution
from metalassay.matrix.run_row import Outcome

ROOT = Path(__file__).parents[2]
WHOLE = (ROOT / "matrix.toml").read_bytes()
# A part of the rows, so that hundreds of damages take seconds, and every other table.
ROWS = WHOLE.split(b"[[row]]")
SOME = b"[[row]]".join([*ROWS[:12], ROWS[-1]])
NUMBER = int(os.environ.get("MUTATIONS", "200"))
SESSIONS = ("bench", "bisect", "emulated", "tests")  # those of the noxfile

VALUES = (
    *(
        "1",
        "-1",
        "0.5",
        "nan",
        "true",
        "1979-05-27",
        '""',
        '" "',
        "[]",
        "{}",
        "[1]",
        "[[]]",
        '[""]',
    ),
    *('"\\u0000"', '"\\u001b[31m"', '"a\\nb"', '["a\\nb"]', "['../..']", "{a = 1}", '"--help"'),
    *('["torch", 1]', '["torch =="]', '["torch==1", "torch==2"]', '["torch==1.*"]', '["-r /etc"]'),
    *('["no-such-bug"]', '["3.11"]', '"3.\\u0661\\u0661"', '"3.' + "1" * 5000 + '"'),
    *(
        '["torch==' + "1" * 5000 + '"]',
        "1" * 5000,
        '"' + "a" * 300 + '"',
        '"' + "x" * 100_000 + '"',
    ),
    *("[" * 200_000, "[" * 90 + "]" * 90, '["torch; ' + "(" * 3000 + '"]', "{a = " * 500),
)
KEYS = ("id", "requires", "python", "tags", "reason", "bugs", "needs", "installs", "runs", "with")
HEADS = ("[row]", "[[row]]", "[[fresh]]", "[upstream]", "[[upstream.row]]", "[bench]", "[[bench]]")
KEY = re.compile(rb"^(\w+) = (.*)$", re.MULTILINE)
HEAD = re.compile(rb"^\[.*\]$", re.MULTILINE)


def damaged(seed: int) -> bytes:
    """Return the file with one to three damages."""
    draw = random.Random(seed)
    text = SOME
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        text = draw.choice((flipped, cut, another_value, renamed, gone, twice, another_head))(
            draw, text
        )
    return text


def flipped(draw: random.Random, text: bytes) -> bytes:
    at = draw.randrange(len(text))
    return text[:at] + bytes([draw.randrange(256)]) + text[at + 1 :]


def cut(draw: random.Random, text: bytes) -> bytes:
    at = draw.randrange(len(text))
    return text[:at] + text[at + draw.choice((1, 20, 400, len(text))) :]


def one(draw: random.Random, pattern: re.Pattern[bytes], text: bytes) -> tuple[bytes, bytes, bytes]:
    """Return a line that matches, and what is before and after it."""
    found = [*pattern.finditer(text)]
    if not found:
        return text, b"", b""
    match = draw.choice(found)
    return text[: match.start()], match[0], text[match.end() :]


def another_value(draw: random.Random, text: bytes) -> bytes:
    before, line, after = one(draw, KEY, text)
    return before + line.partition(b" = ")[0] + b" = " + draw.choice(VALUES).encode() + after


def renamed(draw: random.Random, text: bytes) -> bytes:
    before, line, after = one(draw, KEY, text)
    return (
        before
        + draw.choice((*KEYS, "requirements")).encode()
        + b" = "
        + line.partition(b" = ")[2]
        + after
    )


def gone(draw: random.Random, text: bytes) -> bytes:
    before, _, after = one(draw, draw.choice((KEY, HEAD)), text)
    return before + after


def twice(draw: random.Random, text: bytes) -> bytes:
    before, line, after = one(draw, draw.choice((KEY, HEAD)), text)
    return before + line + b"\n" + line + after


def another_head(draw: random.Random, text: bytes) -> bytes:
    before, _, after = one(draw, HEAD, text)
    return before + draw.choice(HEADS).encode() + after


COMMANDS = (
    ("matrix", "list"),
    ("matrix", "list", "--json"),
    ("matrix", "shard", "--of", "3"),
    ("resolve",),
    ("matrix", "run", "--tag", "quick"),
)


@pytest.fixture
def installs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to an empty checkout; the resolver and the runs of rows are left out."""

    def resolve(row: Row, platform: str, python: str) -> Resolution:
        return Resolution(row.id, platform, python, {}, "")

    def run(rows: Sequence[Row], *_: object) -> list[Outcome]:
        return []

    monkeypatch.setattr(resolver, "resolve", resolve)
    monkeypatch.setattr(run_rows, "run", run)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_damage_ends_a_command_with_a_traceback(
    installs_nothing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = int(os.environ.get("SEED", "22"))
    refused = 0
    for seed in range(first, first + NUMBER):
        (installs_nothing / "matrix.toml").write_bytes(damaged(seed))
        lines = set()
        for command in COMMANDS:
            try:
                code = main(command)
            except BaseException as error:
                error.add_note(f"seed {seed}: {' '.join(command)}")
                raise
            if code == 2:
                lines.add(capsys.readouterr().err)
        refused += bool(lines)
        for text in lines:
            message = text.splitlines()
            assert len(message) == 2, f"seed {seed}: {text}"
            assert message[1].startswith("  next: "), f"seed {seed}: {text}"
            assert len(message[0]) < 1_200, f"seed {seed}: {len(message[0])} characters"
        capsys.readouterr()
        noxfile_reads(installs_nothing, seed)
    assert NUMBER // 4 < refused < NUMBER  # else the damages are not what they should be


def noxfile_reads(root: Path, seed: int) -> None:
    """Do what the noxfile does with the file when nox imports it."""
    with contextlib.suppress(UserError):
        matrix = matrix_file.load(root, SESSIONS)
        assert all(matrix.requires[name] is not None for name in SESSIONS), f"seed {seed}"
        rows = [*matrix.rows.values(), *matrix.by_default()]
        assert all(row.id and row.requires and row.pythons for row in rows), f"seed {seed}"
