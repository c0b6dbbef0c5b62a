"""The events of a suite: begins, ends with the first reason, and a stop from within."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

TESTS = """
import pytest

def test_passes(): pass
def test_fails(): assert 1 == 2, "one is not two"
def test_skips(): pytest.skip("no device")

@pytest.fixture
def broken(): raise RuntimeError("no memory")
def test_breaks(broken): pass
def test_stops(): pytest.exit("selftest FAILED: a sleep", returncode=20)
"""


def test_every_test_begins_and_ends_with_its_outcome_and_reason(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    events = tmp_path / "events"
    command = [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", f"--rootdir={tmp_path}"]
    command += ["-pmetalassay.testing.pytest_progress", f"--progress-file={events}", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 20, done.stdout + done.stderr
    lines: list[dict[str, Any]] = [json.loads(line) for line in events.read_text().splitlines()]
    ends = {line["test"].partition("::")[2]: line for line in lines if line["what"] == "ends"}
    assert {name: (line["outcome"], line["text"]) for name, line in ends.items()} == {
        "test_passes": ("passed", ""),
        "test_fails": ("failed", "AssertionError: one is not two assert 1 == 2"),
        "test_skips": ("skipped", "no device"),
        "test_breaks": ("failed", "RuntimeError: no memory"),
    }
    assert [line["what"] for line in lines][:3] == ["begins", "ends", "begins"]
    assert lines[-1] == {"what": "stops", "text": "selftest FAILED: a sleep"}
