"""Runs one question in a process of its own, so that neither its crash nor its memory is ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from metalassay import minder
from metalassay.fields import one_line
from metalassay.supervise.step_profiler import QUIET


def ask(facts: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Return the answer of ``ask.child``, or an object with ``error`` and ``next_step``.

    The process is ended after ``seconds``, and with this one.
    """
    command = [sys.executable, "-P", "-m", "metalassay.ask.child", json.dumps(facts)]
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **QUIET}
    with tempfile.TemporaryFile() as errors:
        child = minder.start(
            command,
            env=quiet | os.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            tree=True,
        )
        with minder.forgetting(child.pid):
            try:
                output, _ = child.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
                return _failed(f"it took longer than {seconds:g} s", "try a smaller --batch-size")
            except BaseException:
                child.kill()
                child.wait()
                raise
        errors.seek(0, os.SEEK_END)
        errors.seek(max(errors.tell() - 4096, 0))
        said = errors.read().decode("utf-8", "replace").strip().splitlines()
    try:
        answer = json.loads(output)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        last = one_line(said[-1])[:200] if said else "it said nothing"
        what = f"signal {-child.returncode}" if child.returncode < 0 else f"code {child.returncode}"
        return _failed(f"the process ended with {what}: {last}", "run the file alone first")
    return answer


def _failed(error: str, next_step: str) -> dict[str, Any]:
    return {"error": error, "next_step": next_step}
