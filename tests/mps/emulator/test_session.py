"""What of the emulated mps needs no compiler and no torch; the rest is in tests_emulated/."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metalassay.cli import main
from metalassay.errors import UserError
from metalassay.mps.emulator import build, messages
from metalassay.mps.operators import oracle

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("value", "torch", "expected"),
    [
        (None, "2.5.1", False),
        ("0", "2.5.1", False),
        ("1", "2.5.1", True),
        (" 2x", "2.7.1", True),
        ("0", "2.8.0", False),
        ("1", "2.8.0", True),
        ("", "2.8.0", True),
        ("false", "2.13.0", True),
        ("00", "2.8.0", True),
        ("00", "2.7.1", False),
    ],
)
def test_the_variable_is_parsed_as_the_release_parses_it(
    value: str | None, torch: str, expected: bool
) -> None:
    assert messages.fallback_enabled(value, torch) is expected


@pytest.mark.parametrize("value", ["true", "", "yes"])
def test_a_value_that_ends_an_old_torch_is_said_in_a_line(value: str) -> None:
    with pytest.raises(UserError, match=r"is no number: torch 2\.5\.1 ends the process"):
        messages.fallback_enabled(value, "2.5.1")


@pytest.mark.parametrize("version", oracle.versions())
def test_every_release_has_its_words(version: str) -> None:
    known = messages.messages(version, "abc123")
    text = known.not_implemented
    assert text.startswith(
        "The operator '{}' is not currently implemented for the MPS device. If you want this op to"
        " be "
    )
    assert text.endswith("this will be slower than running natively on MPS.")
    old = version in ("2.0.1", "2.1.2", "2.2.2", "2.3.1", "2.4.1", "2.5.1")
    assert ("issues/77764. As" in text) is old
    assert ("issues/141287 and" in text and "commit hash abc123. As" in text) is not old
    assert bool(known.not_implemented_distributed) is (
        version in ("2.11.0", "2.12.1", "2.13.0", "2.14.1", "2.15.0")
    )


def torch(version: str, *, mps: bool = False, **kinds: str) -> Any:
    """Stand in for torch."""
    backends = SimpleNamespace(mps=SimpleNamespace(is_built=lambda: mps))
    return SimpleNamespace(__version__=version, version=SimpleNamespace(**kinds), backends=backends)


@pytest.mark.parametrize(
    ("platform", "fake", "expected"),
    [
        ("darwin", torch("2.13.0", mps=True), "this Mac has MPS itself"),
        ("darwin", torch("2.2.2"), "on Linux alone"),
        ("win32", torch("2.13.0+cpu"), "on Linux alone"),
        ("linux", torch("2.2.2+cpu"), "too old to emulate mps"),
        ("linux", torch("2.13.0+cu132", cuda="13.2"), "is built for cuda"),
        ("linux", torch("2.13.0+rocm7", hip="7.0"), "is built for hip"),
    ],
)
def test_where_it_cannot_work_it_says_so(
    monkeypatch: pytest.MonkeyPatch, platform: str, fake: Any, expected: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    with pytest.raises(UserError, match=expected):
        build.check_torch(fake)


@pytest.mark.parametrize("fake", [torch("2.13.0+cpu"), torch("2.5.1+cu124", cuda="12.4")])
def test_where_it_works_nothing_is_said(monkeypatch: pytest.MonkeyPatch, fake: Any) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    build.check_torch(fake)


def test_without_a_compiler_the_next_step_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -x")
    with pytest.raises(UserError, match=r"no C\+\+ compiler.*no-such-compiler.*apt-get"):
        build.check_tools()


def test_the_cache_knows_torch_python_and_the_sources(
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


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, metalassay.mps.emulator; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--", "python", "x.py"], "no limit and no device to emulate"),
        (["run", "--emulate-mps=9", "--", "python", "x.py"], "torch 9 are not known"),
        (["run", "--emulate-mps", "--", "ls"], "'ls' is no Python"),
        (["run", "--emulate-mps"], "no program to run"),
    ],
)
def test_bad_input_to_run_is_said_before_anything_starts(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert main.main(arguments) == 2
    assert expected in capsys.readouterr().err


def test_every_difference_from_pytorchs_list_is_explained_once_and_in_order() -> None:
    table = tomllib.loads((ROOT / "tools" / "emulator_opinfo.toml").read_text("utf-8"))
    keys = [(row["op"], row["what"]) for row in table["row"]]
    assert keys == sorted(set(keys))
    head = (ROOT / "tools" / "emulator_opinfo.toml").read_text("utf-8").partition("torch =")[0]
    for row in table["row"]:
        assert f"#        {row['class']} " in head.replace("# class: ", "#        ")
        assert len(row["why"]) > 20


def test_no_source_is_long() -> None:
    for path in build.SOURCES.iterdir():
        assert len(path.read_text("utf-8").splitlines()) < 400, path.name


def test_the_environment_to_build_in_finds_ninja_beside_the_interpreter(
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
