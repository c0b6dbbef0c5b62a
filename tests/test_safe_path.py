"""A module of the current folder is not taken for one of the standard library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay import safe_path


def _json_of(folder: Path, program: str, variables: dict[str, str]) -> str:
    (folder / "json.py").write_text("dumps = 'ours'\n")
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [sys.executable, "-c", f"{program}import json; print(json.__file__)"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("program", "variables"), [(safe_path.DROP, {}), ("", safe_path.VARIABLES)], ids=["-c", "-m"]
)
def test_the_current_folder_is_not_searched(
    tmp_path: Path, program: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    assert Path(_json_of(tmp_path, "", {})).parent == tmp_path  # what this is for
    assert Path(_json_of(tmp_path, program, variables)).parent != tmp_path
