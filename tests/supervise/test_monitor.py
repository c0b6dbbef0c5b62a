"""``metalassay run --monitor``: the rows that it writes of any program, and when it is refused."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from run_options import options

from metalassay.errors import UserError
from metalassay.supervise import command as govern
from metalassay.supervise import monitor_log
from metalassay.supervise.machine_load import cores

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGSTOP")


@posix
@pytest.mark.slow
def test_the_monitor_watches_any_command(tmp_path: Path) -> None:
    path = tmp_path / "log"
    command = [sys.executable, "-m", "metalassay", "run", "--monitor", str(path), "--every", "0.1"]
    code = "import time; time.sleep(1)"
    assert subprocess.run([*command, "--", sys.executable, "-c", code]).returncode == 0
    assert len(monitor_log.read(path).rows) >= 3
    again = subprocess.run([*command, "--", sys.executable], capture_output=True, text=True)
    assert again.returncode == 2
    assert "is there already" in again.stderr


@posix
@pytest.mark.slow
def test_a_row_has_no_more_cpu_time_than_one_core_gives(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "metalassay", "run", "--monitor", str(tmp_path / "log")]
    code = "import time; until = time.time() + 2\nwhile time.time() < until: pass"
    subprocess.run([*command, "--every", "0.3", "--", sys.executable, "-c", code], check=True)
    own = [row.own_cpu_percent or 0 for row in monitor_log.read(tmp_path / "log").rows]
    assert len(own) >= 4
    assert 0 < max(own) <= 110 / cores()


@posix
@pytest.mark.parametrize("monitored", ["no/log", "."])
def test_no_program_is_started_without_its_log(tmp_path: Path, monitored: str) -> None:
    with pytest.raises(UserError, match=r"no folder|is a folder"):
        govern.run(options(str(tmp_path / "no"), monitor=str(tmp_path / monitored), every=5.0))
    assert not list(tmp_path.iterdir())


@posix
def test_the_monitor_does_not_count_what_watches_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    class Watching(contextlib.nullcontext[None]):
        def __init__(self, path: Path, seconds: float, **others: object) -> None:
            super().__init__()
            asked.update(others)

    monkeypatch.setattr(govern, "Monitor", Watching)
    with pytest.raises(UserError, match="cannot start"):
        govern.run(options(str(tmp_path / "no"), monitor="log", every=5.0))
    assert asked["own"] is False
