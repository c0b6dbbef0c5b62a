"""What uv and pip print, and how uv is asked whether a row can be installed."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from metalassay.environment import resolver
from metalassay.environment.matrix import Row
from metalassay.errors import UserError

ROW = Row("x", ("accelerate==1.8.0", "torch"), "a reason", ("full",), python="3.11")

# Recorded from uv; the cross is a multiplication sign.
UV = """\
  \u00d7 No solution found when resolving dependencies:
  ╰─▶ Because transformers==5.0.0 depends on huggingface-hub>=1.3.0 and you
      require huggingface-hub<1, we can conclude that your requirements are
      unsatisfiable.

      hint: something else
"""
NEWER_UV = """\
Using Python 3.11.7 environment at: .nox/x
error: No solution found when resolving dependencies
  cause: Because transformers==4.52.4 depends on huggingface-hub>=0.30.0,<1.0
         and you require huggingface-hub>=2, we can conclude that your requirements are unsatisfiable.
hint: something else
"""
PIP = """\
Collecting accelerate==9.9.9
ERROR: Could not find a version that satisfies the requirement accelerate==9.9.9 (from versions: 1.0.0)
ERROR: No matching distribution found for accelerate==9.9.9
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            UV,
            "Because transformers==5.0.0 depends on huggingface-hub>=1.3.0 and you require"
            " huggingface-hub<1, we can conclude that your requirements are unsatisfiable.",
        ),
        (
            NEWER_UV,
            "Because transformers==4.52.4 depends on huggingface-hub>=0.30.0,<1.0 and you require"
            " huggingface-hub>=2, we can conclude that your requirements are unsatisfiable.",
        ),
        (PIP, "No matching distribution found for accelerate==9.9.9"),
        ("error: Failed to fetch: timed out\n", "Failed to fetch: timed out"),
        ("first\nthread 'main'  panicked\n", "thread 'main' panicked"),
        ("", "the installer failed without a message"),
    ],
)
def test_the_reason_of_a_failure_is_the_installers_own_sentence(output: str, reason: str) -> None:
    assert resolver.failure_reason(output) == reason


@pytest.fixture
def fake_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a uv on PATH that records its input and arguments and then runs the file's script."""
    script = tmp_path / "answer.sh"
    uv = tmp_path / "uv"
    uv.write_text(
        f'#!/bin/sh\ncat > "{tmp_path}/input"\necho "$@" > "{tmp_path}/arguments"\n. "{script}"\n'
    )
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return script


def test_a_row_that_resolves_has_the_versions_that_uv_chose(fake_uv: Path, tmp_path: Path) -> None:
    fake_uv.write_text("echo 'accelerate==1.8.0'; echo 'torch==2.13.0+cpu'\n")
    answer = resolver.resolve(ROW, "macOS 14 arm64")
    assert answer.versions == {"accelerate": "1.8.0", "torch": "2.13.0+cpu"}
    assert answer.why == ""
    assert (tmp_path / "input").read_text() == "accelerate==1.8.0\ntorch"
    arguments = (tmp_path / "arguments").read_text()
    assert "--python-version 3.11 --python-platform aarch64-apple-darwin" in arguments


def test_a_row_that_does_not_resolve_has_the_reason(fake_uv: Path) -> None:
    fake_uv.write_text("echo 'error: no such version' >&2; exit 1\n")
    answer = resolver.resolve(ROW, "Linux x86_64")
    assert (answer.row, answer.versions, answer.why) == ("x", {}, "no such version")


def test_without_uv_the_user_is_told_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"uv is not installed \(python3 -m pip install uv\)"):
        resolver.resolve(ROW, "Linux x86_64")


def test_the_find_links_of_pip_are_passed_on_to_uv(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if shutil.which("pip3") is None and importlib.util.find_spec("pip") is None:
        pytest.skip("there is no pip whose configuration could be read")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nfind-links =\n    /wheels/a\n    /wheels/b\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    links = resolver.pip_find_links()["UV_FIND_LINKS"].split(",")
    assert links[-2:] == ["/wheels/a", "/wheels/b"]


def test_without_pip_there_are_no_find_links(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert resolver.pip_find_links() == {}


def test_find_links_that_are_set_for_uv_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_FIND_LINKS", "/mine")
    assert resolver.pip_find_links() == {}
