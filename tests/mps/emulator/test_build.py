"""What the build needs, and where its result is cached; the build itself is tested in tests_emulated/."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
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


def fake_torch(folder: Path, version: str = "2.13.0+cpu") -> Any:
    """Return a stand-in for a torch that is installed in ``folder``."""
    return SimpleNamespace(
        __version__=version,
        __file__=str(folder / "torch/__init__.py"),
        _C=SimpleNamespace(_GLIBCXX_USE_CXX11_ABI=True),
    )


@pytest.mark.parametrize(
    ("version", "standard"),
    [("2.11.0", "-std=c++17"), ("2.12.0", "-std=c++20"), ("2.13.0+cpu", "-std=c++20")],
)
def test_the_compiler_is_told_the_standard_and_the_abi_of_torch(
    tmp_path: Path, version: str, standard: str
) -> None:
    words = build.command(
        fake_torch(tmp_path, version), "c++ -m64", tmp_path / "a.cpp", tmp_path / "a.so"
    )
    assert words[:3] == ["c++", "-m64", standard]
    assert "-D_GLIBCXX_USE_CXX11_ABI=1" in words


COMPILER = """#!/bin/sh
echo "$@" > "$TMPDIR/intermediate"
touch "{began}"
{wait}
for word; do test "$before" = -o && echo library > "$word"; before=$word; done
exit {code}
"""

BUILD = """
import sys
from pathlib import Path
sys.path.insert(0, {support!r})
from test_build import fake_torch
from metalassay.errors import UserError
from metalassay.mps.emulator import build
try:
    library = build.folder("2.13.0+cpu") / "library.so"
    build._build(fake_torch(Path({folder!r})), library, lambda text: print(text, flush=True))
    print("built", library.read_text())
except UserError as error:
    sys.exit(str(error))
"""


class Builder:
    """Builds with a compiler that waits until it is told to go on, in processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.began = folder, folder / "began"
        self.cache = folder / "cache/metalassay"

    def start(self, *, wait: str = "", code: int = 0) -> subprocess.Popen[str]:
        """Start a build; ``wait`` is what the compiler does first, ``code`` how it ends."""
        compiler = self.folder / "c++"
        compiler.write_text(COMPILER.format(began=self.began, wait=wait, code=code))
        compiler.chmod(0o755)
        code_text = BUILD.format(support=str(Path(__file__).parent), folder=str(self.folder))
        return subprocess.Popen(
            [sys.executable, "-c", code_text],
            env={**os.environ, "CXX": str(compiler), "XDG_CACHE_HOME": str(self.folder / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so, at most half a minute."""
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, "it has not happened"
            time.sleep(0.02)

    def names(self) -> list[str]:
        """Return what is in the cache beside the lock."""
        return sorted(each.name for each in self.cache.iterdir() if each.suffix != ".lock")


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


def compilers(builder: Builder) -> list[str]:
    """Return the command lines of processes that compile for this test."""
    lines = [" ".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])]
    return [each for each in lines if str(builder.folder / "c++") in each]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_build_leaves_no_file_and_no_process(
    builder: Builder, number: signal.Signals
) -> None:
    process = builder.start(wait="sleep 60")
    builder.until(builder.began.exists)
    assert builder.names() != []
    process.send_signal(number)
    assert process.wait(20) != 0
    builder.until(lambda: builder.names() == [] and compilers(builder) == [])
    assert "built library" in builder.start().communicate(timeout=30)[0]


def test_a_second_build_waits_for_the_first_and_uses_its_result(builder: Builder) -> None:
    first = builder.start(wait=f"while test ! -e {builder.folder}/go; do sleep 0.05; done")
    builder.until(builder.began.exists)
    second = builder.start()
    assert second.stdout is not None
    said = second.stdout.readline()
    assert said == "another process is building the emulated mps; waiting for it\n"
    (builder.folder / "go").touch()
    assert first.communicate(timeout=30)[0].endswith("built library\n\n")
    assert second.communicate(timeout=30)[0] == "built library\n\n"
    (folder,) = builder.names()
    assert [each.name for each in (builder.cache / folder).iterdir()] == ["library.so"]


def test_a_failed_build_names_its_log_and_leaves_nothing_else(builder: Builder) -> None:
    process = builder.start(code=1)
    error = process.communicate(timeout=30)[1]
    assert process.returncode == 1
    (log,) = builder.names()
    assert log.endswith(".log")
    assert log in error
