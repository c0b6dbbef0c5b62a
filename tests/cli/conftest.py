"""What the tests of several commands share."""

from __future__ import annotations

import argparse

import pytest

from metalassay.cli import handover


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[argparse.Namespace]:
    """Return the options of commands that would be started; a real one would replace pytest."""
    started: list[argparse.Namespace] = []

    def launch(command: str, options: argparse.Namespace) -> int:
        options.launched = command
        started.append(options)
        return 0

    monkeypatch.setattr(handover, "launch", launch)
    return started
