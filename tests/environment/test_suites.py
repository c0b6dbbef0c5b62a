"""The suites are found in the installed package, and else in the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

import metalassay
from metalassay.environment import suites
from metalassay.errors import UserError


def package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let metalassay be the package in ``folder / "src"``, and return that package."""
    place = folder / "src" / "metalassay"
    place.mkdir(parents=True)
    monkeypatch.setattr(metalassay, "__file__", str(place / "__init__.py"))
    return place


def suite(folder: Path) -> Path:
    """Make a suite in a folder."""
    folder.mkdir(parents=True)
    (folder / "conftest.py").touch()
    return folder


def test_the_installed_suite_comes_before_that_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = package(tmp_path, monkeypatch)
    checkout = suite(tmp_path / "compat")
    assert suites.folder("compat") == checkout
    installed = suite(place / "compat")
    assert suites.folder("compat") == installed


def test_a_copy_without_a_suite_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, monkeypatch)
    with pytest.raises(UserError, match="no folder benchmarks"):
        suites.folder("benchmarks")
