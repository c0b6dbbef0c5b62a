"""`metalassay resolve`: one line per row and system, and an exit code that tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metalassay.cli.main import main
from metalassay.matrix import resolver
from metalassay.matrix.matrix_file import Row
from metalassay.matrix.resolver import Resolution

MATRIX = """
[[row]]
id = "good"
requires = ["accelerate==1.9.0"]
reason = "one"
tags = []
python = ["3.11", "3.12"]

[[row]]
id = "bad"
requires = ["accelerate==99"]
reason = "two"
tags = []
python = "3.13"
"""


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "matrix.toml").write_text(MATRIX, "utf-8")
    monkeypatch.chdir(tmp_path)

    def resolve(row: Row, platform: str, python: str) -> Resolution:
        why = "there is no accelerate 99" if row.id == "bad" else ""
        return Resolution(row.id, platform, python, {} if why else {"accelerate": "1.9.0"}, why)

    monkeypatch.setattr(resolver, "resolve", resolve)


def test_every_row_is_resolved_for_both_systems_and_each_of_its_pythons(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["resolve"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "good: Linux x86_64, Python 3.11: ok",
        "good: Linux x86_64, Python 3.12: ok",
        "good: macOS 14 arm64, Python 3.11: ok",
        "good: macOS 14 arm64, Python 3.12: ok",
        "bad: Linux x86_64, Python 3.13: there is no accelerate 99",
        "bad: macOS 14 arm64, Python 3.13: there is no accelerate 99",
        "4 of 6 resolve",
    ]


def test_quiet_prints_the_answer_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resolve", "good", "--quiet", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == "4 of 4 resolve\n"
    assert json.loads(out)[0]["versions"] == {"accelerate": "1.9.0"}


def test_an_unknown_row_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resolve", "other"]) == 2
    assert "matrix.toml has no row 'other'" in capsys.readouterr().err
