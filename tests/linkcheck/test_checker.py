"""The type checker: its command, its lines, and what happens where it does not run."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from metalassay.errors import UserError
from metalassay.linkcheck import checker
from metalassay.linkcheck.checker import Diagnostic

TY = "{site}/trl/a.py:7:3: error[unknown-argument] Argument `x` does not match any known parameter of `A.f`"
PYREFLY = "ERROR {site}/trl/a.py:7:3-9: Unexpected keyword argument `x` in function `A.f` [unexpected-keyword]"
BASEDPYRIGHT = '{{"generalDiagnostics": [{{"file": "{site}/trl/a.py", "severity": "error", "message": "No parameter\\n named x", "range": {{"start": {{"line": 6}}}}, "rule": "reportCallIssue"}}, {{"file": "{site}/trl/a.py", "severity": "warning", "message": "w", "range": {{"start": {{"line": 6}}}}}}]}}'


def program(folder: Path, name: str, text: str, code: int = 0) -> str:
    path = folder / name
    (folder / "answer").write_text(text, "utf-8")
    path.write_text(f"#!/bin/sh\ncat {folder}/answer\nexit {code}\n", "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("ty", TY, "unknown-argument"),
        ("pyrefly", PYREFLY, "unexpected-keyword"),
        ("basedpyright", BASEDPYRIGHT, "reportCallIssue"),
    ],
)
def test_the_lines_of_each_checker(tmp_path: Path, name: str, text: str, rule: str) -> None:
    site = tmp_path / "site"
    path = program(tmp_path, name, text.format(site=site), code=1)
    [found] = checker.run(path, site, [site / "trl/a.py"])
    assert (found.path, found.line, found.rule) == ("trl/a.py", 7, rule)
    assert "x" in found.message


def test_nothing_to_check_starts_nothing(tmp_path: Path) -> None:
    assert checker.run("no such program", tmp_path, []) == ()


@pytest.mark.parametrize("code", [2, 101])
def test_a_checker_that_fails_is_an_error_with_its_last_line(tmp_path: Path, code: int) -> None:
    path = program(tmp_path, "ty", "loading\npanicked", code)
    with pytest.raises(UserError, match=f"ended with {code}: panicked"):
        checker.run(path, tmp_path, [tmp_path / "a.py"])


def test_a_checker_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not run"):
        checker.run(str(tmp_path / "ty"), tmp_path, [tmp_path / "a.py"])


def test_it_is_found_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "elsewhere" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checker.find() is None
    assert checker.find() != program(tmp_path, "ty", "")
    assert checker.find() == str(tmp_path / "ty")


def test_a_link_to_a_package_is_named_as_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    site = tmp_path / "site"
    site.symlink_to(tmp_path / "real")
    path = program(tmp_path, "ty", TY.format(site=tmp_path / "real"))
    assert checker.run(path, site, [site / "trl/a.py"])[0] == Diagnostic(
        "trl/a.py",
        7,
        "unknown-argument",
        "Argument `x` does not match any known parameter of `A.f`",
    )
