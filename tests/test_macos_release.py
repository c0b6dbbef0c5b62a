"""Which of two answers names the version of macOS."""

from __future__ import annotations

import pytest

from metalassay import macos_release


@pytest.mark.parametrize(
    ("by_sysctl", "by_python", "version"),
    [
        ("26.1", "16.1", "26.1"),  # https://github.com/python/cpython/issues/135675
        ("26.0\n", "16.0", "26.0"),
        ("15.7.2", "10.16", "15.7.2"),
        (None, "15.5", "15.5"),
        (None, "16.0", None),
        (None, "10.16", None),
        ("16.0", "16.0", None),
        ("16", "10.16.1", None),
        (None, "10.15.7", "10.15.7"),
        ("nonsense", "14.4.1", "14.4.1"),
        (None, "", None),
    ],
)
def test_versions_that_no_macos_has_are_refused(
    by_sysctl: str | None, by_python: str, version: str | None
) -> None:
    assert macos_release.choose(by_sysctl, by_python) == version
