"""What the build needs, and where its result is cached; the build itself is tested in tests_emulated/."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metalassay.errors import UserError
from metalassay.mps.emulator import build


def torch(version: str, *, mps: bool = False, **kinds: str) -> Any:
    """Return a stand-in for torch of this version, built for these accelerators."""
    backends = SimpleNamespace(mps=SimpleNamespace(is_built=lambda: mps))
    return SimpleNamespace(__version__=version, version=SimpleNamespace(**kinds), backends=backends)


@pytest.mark.parametrize(
    ("platform", "fake", "expected"),
    [
        ("darwin", torch("2.13.0", mps=True), "this Mac has MPS"),
        ("darwin", torch("2.2.2"), "only on Linux"),
        ("win32", torch("2.13.0+cpu"), "only on Linux"),
        ("linux", torch("2.2.2+cpu"), "too old to emulate mps"),
        ("linux", torch("2.13.0+cu132", cuda="13.2"), "is built for cuda"),
        ("linux", torch("2.13.0+rocm7", hip="7.0"), "is built for hip"),
    ],
)
def test_an_unsupported_system_or_torch_is_an_error(
    monkeypatch: pytest.MonkeyPatch, platform: str, fake: Any, expected: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    with pytest.raises(UserError, match=expected):
        build.check_torch(fake)


@pytest.mark.parametrize("fake", [torch("2.13.0+cpu"), torch("2.5.1+cu124", cuda="12.4")])
def test_a_supported_system_and_torch_are_accepted(
    monkeypatch: pytest.MonkeyPatch, fake: Any
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    build.check_torch(fake)


def test_a_missing_compiler_is_an_error_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -x")
    with pytest.raises(UserError, match=r"no C\+\+ compiler.*no-such-compiler.*apt-get"):
        build.check_tools()


def test_ninja_is_found_beside_the_interpreter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ninja", "c++"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    assert build.check_tools()["PATH"].split(os.pathsep)[0] == str(tmp_path)


def test_the_cache_folder_depends_on_torch_and_the_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = build.folder("2.13.0+cpu")
    assert before.parent == tmp_path / "metalassay"
    assert "2.13.0+cpu" in before.name
    assert build.folder("2.12.0") != before
    (tmp_path / "cpp").mkdir()
    for source in build.SOURCES.iterdir():
        (tmp_path / "cpp" / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(build, "SOURCES", tmp_path / "cpp")
    assert build.folder("2.13.0+cpu") == before
    (tmp_path / "cpp" / "boxed.cpp").write_text("// changed")
    assert build.folder("2.13.0+cpu") != before


def test_a_missing_ninja_is_an_error_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "c++").write_text("#!/bin/sh\n")
    (tmp_path / "c++").chmod(0o755)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(UserError, match=r"no ninja.*metalassay\[emulator\]"):
        build.check_tools()
