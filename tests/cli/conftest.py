"""What the tests of several commands share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from metalassay.cli import handover


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Let commands keep what they keep between runs in a folder of these tests."""
    folder = tmp_path_factory.mktemp("cache")
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    with pytest.MonkeyPatch.context() as patch:
        # uv keeps wheels there too, and should go on using those that it has.
        patch.setenv("UV_CACHE_DIR", os.environ.get("UV_CACHE_DIR") or str(usual / "uv"))
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[argparse.Namespace]:
    """Return the options of commands that would be started; a real one would replace pytest."""
    started: list[argparse.Namespace] = []

    def launch(command: str, options: argparse.Namespace, prefix: Sequence[str] = ()) -> int:
        options.launched, options.launched_with = command, list(prefix)
        started.append(options)
        return 0

    monkeypatch.setattr(handover, "launch", launch)
    return started
