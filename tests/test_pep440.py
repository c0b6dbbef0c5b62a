"""What is no version is none, whatever Python says about it."""

from __future__ import annotations

import pytest
from packaging.version import Version

from metalassay import pep440


def test_a_version_is_read() -> None:
    assert pep440.version_of("2.13.0+cpu") == Version("2.13.0+cpu")
    assert pep440.is_version("2.14.0.dev20261101")


@pytest.mark.parametrize("text", ["", "x", "1..2", "9" * 5000, "[" * 200_000, "1.0\n1.0"])
def test_anything_else_is_none(text: str) -> None:
    assert pep440.version_of(text) is None
    assert not pep440.is_version(text)
    assert pep440.version_of(None) is None
