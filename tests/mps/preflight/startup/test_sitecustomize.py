"""What Python runs first in a process that a recorded program starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay.mps.preflight import predict, recording

STARTUP = Path(recording.__file__).parent / "startup"


def start(code: str, folder: Path, *more: Path) -> subprocess.CompletedProcess[str]:
    """Run Python as a recorded program would."""
    paths = [STARTUP, *more, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    env = {
        **os.environ,
        recording.VARIABLE: str(folder),
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
    }
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the settings of a recording."""
    folder = tmp_path / "traces"
    folder.mkdir()
    (folder / recording.SETTINGS).write_text(json.dumps(predict.settings()))
    return folder


def test_a_process_without_torch_leaves_nothing(folder: Path) -> None:
    done = start("import sys; assert 'torch' not in sys.modules", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in folder.iterdir()] == [recording.SETTINGS]


@pytest.mark.slow
def test_a_process_with_torch_leaves_its_recording(folder: Path) -> None:
    done = start("import torch; torch.ones(3).mode()", folder)
    assert (done.returncode, done.stderr) == (0, "")
    (part,) = folder.glob("part-*.json")
    trace = predict.parse(part.read_bytes(), part.name)
    assert "mode" in {call["path"][-1] for call in trace["calls"]}
    assert [*folder.glob("begun-*")] == []


def test_the_sitecustomize_that_it_hides_is_run(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.theirs = 1\n")
    code = f"import sys; assert theirs and {str(STARTUP)!r} not in sys.path"
    done = start(code, folder, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
