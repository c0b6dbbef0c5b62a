"""The hook that other repositories use: its command exists, and it runs when a requirement can have changed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from metalassay.cli.main import main

ROOT = Path(__file__).parents[2]
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))


def test_the_command_is_ours_and_says_what_it_lacks(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, *command = shlex.split(HOOK["entry"])
    assert program == "metalassay"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert HOOK["args"][0] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "runs"),
    [
        ("pyproject.toml", True),
        ("a/requirements-dev.txt", True),
        ("uv.lock", True),
        ("pylock.toml", True),
        ("train.py", False),
        ("docs/requirements.md", False),
    ],
)
def test_it_runs_for_files_with_requirements(path: str, runs: bool) -> None:
    assert bool(re.search(HOOK["files"], path)) is runs
