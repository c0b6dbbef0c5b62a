"""The command line of accelerate."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay.environment import versions

if not {"accelerate", "torch"} <= versions.installed().keys():
    pytest.skip("accelerate or torch is not installed", allow_module_level=True)


@pytest.mark.slow
@pytest.mark.bug("accelerate-env-off-path", symptom="which")
def test_accelerate_env_runs_where_its_script_is_not_on_the_path(
    upstream: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    child = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.accelerate_cli", "env"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
