"""The recording process: what it passes to the program, and how the program's end is recorded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metalassay.mps.preflight import run


@pytest.mark.slow
def test_the_program_gets_its_arguments_and_no_gpu(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import os, sys, torch\n"
        "assert sys.argv[1:] == ['--lr', '1'] and not os.environ['CUDA_VISIBLE_DEVICES']\n"
        "torch.ones(2)\n"
    )
    trace, code = run.trace([sys.executable, "-u", str(script), "--lr", "1"])
    assert (code, trace["ended"]) == (0, "")
    (ones,) = (call for call in trace["calls"] if call["path"] == ["ones"])
    assert (ones["file"], ones["line"], ones["count"]) == (str(script), 3, 1)


@pytest.mark.slow
def test_a_program_is_stopped_after_its_time_even_if_it_catches_exceptions() -> None:
    code = "import time\nwhile True:\n    try: time.sleep(60)\n    except Exception: pass\n"
    trace, exit_code = run.trace([sys.executable, "-c", code], seconds=0.5)
    assert (exit_code, trace["ended"]) == (0, "stopped after 0.5 s, as requested")


@pytest.mark.slow
def test_the_exit_code_of_a_program_is_recorded() -> None:
    trace, code = run.trace(
        [sys.executable, "-c", "import torch; torch.ones(2); raise SystemExit(3)"]
    )
    assert (code, trace["ended"]) == (1, "the program ended with exit code 3")
    assert ["ones"] in [call["path"] for call in trace["calls"]]
    trace, code = run.trace([sys.executable, "-c", "raise SystemExit('no data')"])
    assert (code, trace["ended"]) == (1, "the program ended with exit code 1: no data")


@pytest.mark.slow
def test_a_program_that_fails_after_asking_for_mps_is_told_what_it_was_told() -> None:
    code = "import torch; torch.ones(1); assert torch.backends.mps.is_available()"
    trace, exit_code = run.trace([sys.executable, "-c", code])
    assert exit_code == 1
    assert trace["ended"].endswith("after it was told that there is no MPS here")
