"""Tuning glibc's allocator, and what happens without glibc."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace

import pytest

from metalassay.errors import UserError
from metalassay.machine import malloc


class Glibc:
    """A C library that records the calls of mallopt and answers them with ``accepts``."""

    def __init__(self, accepts: int = 1) -> None:
        self.accepts = accepts
        self.settings: dict[int, int] = {}
        self.gnu_get_libc_version = lambda: b"2.39"

    def mallopt(self, parameter: int, value: int) -> int:
        self.settings[parameter] = value
        return self.accepts


def use(monkeypatch: pytest.MonkeyPatch, library: object, platform: str = "linux") -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)


def test_glibc_is_told_neither_to_trim_nor_to_map_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    glibc = Glibc()
    use(monkeypatch, glibc)
    malloc.tune_malloc()
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    assert glibc.settings == {trim_threshold: -1, mmap_max: 0}


@pytest.mark.parametrize(
    ("library", "platform"),
    [
        pytest.param(SimpleNamespace(), "linux", id="another C library"),
        pytest.param(Glibc(), "darwin", id="macOS"),
        pytest.param(Glibc(accepts=0), "linux", id="a glibc that refuses"),
    ],
)
def test_without_a_glibc_that_agrees_tuning_is_an_error(
    monkeypatch: pytest.MonkeyPatch, library: object, platform: str
) -> None:
    use(monkeypatch, library, platform)
    assert not malloc.keep_freed_memory()
    with pytest.raises(UserError, match="only on Linux with glibc"):
        malloc.tune_malloc()
