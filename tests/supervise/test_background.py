"""The command that gives a program the least priority, and that the priority is what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from metalassay.errors import UserError
from metalassay.supervise import background


def test_macos_has_a_quality_of_service_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/sbin/{name}")
    assert background.prefix("darwin") == ["taskpolicy", "-b"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no nice")
def test_a_program_runs_with_the_least_priority() -> None:
    asks = [sys.executable, "-c", "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"]
    ran = subprocess.run(
        [*background.prefix("linux"), *asks], check=True, capture_output=True, text=True
    )
    assert int(ran.stdout) == 19
    assert os.getpriority(os.PRIO_PROCESS, 0) < 19  # or this would show nothing


def test_a_system_without_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="--background needs nice"):
        background.prefix("win32")
