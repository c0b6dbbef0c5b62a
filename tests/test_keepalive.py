"""The three functions for an own loop: outside a run they do nothing, in one they tell the run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from metalassay import keepalive


def test_outside_a_run_nothing_happens() -> None:
    keepalive.step()
    keepalive.saved("checkpoint.pt", 3)
    assert keepalive.checkpoint_wanted() is None


def test_a_listener_hears_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[object] = []

    class Listener:
        def step(self) -> None:
            heard.append("step")

        def checkpoint_wanted(self) -> str | None:
            return "memory"

        def saved(self, path: str, step: int) -> None:
            heard.append((path, step))

    monkeypatch.setattr(keepalive, "_listener", None)
    keepalive.listen(Listener())
    keepalive.step()
    keepalive.saved(Path("folder") / "checkpoint.pt", 3)
    assert keepalive.checkpoint_wanted() == "memory"
    assert heard == ["step", ("folder/checkpoint.pt", 3)]


def test_importing_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, metalassay.keepalive;"
        "print(sorted({'torch', 'json', 'metalassay.supervise', 'packaging'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
