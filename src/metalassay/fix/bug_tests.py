"""Runs the compatibility suite's tests of a few bugs in another environment, where the suite is at hand.

The suite is part of a checkout. The environment needs no pytest: that of this interpreter, which is written
in Python alone, is shown to it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import util
from pathlib import Path

import metalassay
from metalassay.errors import reason
from metalassay.fields import one_line, printable

_SHOWN = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments", "psutil")
_TIMEOUT = 900.0  # seconds

NOT_TESTED, PASSED, FAILED = "not tested", "passed", "failed"


def suite() -> Path | None:
    """Return the folder with the suite, if this runs from a checkout."""
    folder = Path(metalassay.__file__).resolve().parents[2] / "compat"
    return folder if (folder / "conftest.py").is_file() else None


def run(python: str, ids: Sequence[str]) -> tuple[str, str]:
    """Run the tests of those bugs with an interpreter; return whether they agree with the data, and why not.

    "not tested" is an answer of its own, with its reason: there is no suite, or no pytest.
    """
    folder = suite()
    if not ids:
        return NOT_TESTED, "the change is not about a known bug with tests"
    if folder is None:
        return NOT_TESTED, "the tests of known bugs are part of a checkout, and this is none"
    places = {name: util.find_spec(name) for name in _SHOWN}
    if places["pytest"] is None:
        return NOT_TESTED, "pytest is not installed beside metalassay"
    with tempfile.TemporaryDirectory() as name:
        shown = Path(name, "shown")
        shown.mkdir()
        for spec in places.values():
            if spec is not None and spec.origin is not None:
                origin = Path(spec.origin)
                there = origin.parent if origin.name == "__init__.py" else origin
                (shown / there.name).symlink_to(there)
        (shown / "metalassay").symlink_to(Path(metalassay.__file__).resolve().parent)
        words = [python, "-m", "pytest", str(folder), *(f"--bug={each}" for each in ids)]
        words += ["-q", "--no-header", "-p", "no:cacheprovider", f"--basetemp={Path(name, 'made')}"]
        variables = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
        variables |= {"PYTHONPATH": str(shown), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(  # noqa: S603  (the environment's own interpreter, no shell)
                words,
                cwd=folder.parent,
                env=variables,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return FAILED, f"they did not end within {_TIMEOUT / 60:.0f} minutes"
        except OSError as error:
            return NOT_TESTED, f"{python}: {reason(error)}"
    lines = [one_line(printable(line)) for line in done.stdout.splitlines() if line.strip()]
    last = lines[-1] if lines else one_line(printable(done.stderr))[-300:]
    if done.returncode == 0:
        return PASSED, last.strip("= ")
    if done.returncode < 0:
        return NOT_TESTED, f"pytest was ended by signal {-done.returncode}"
    if done.returncode == 5:
        return NOT_TESTED, "no test of these bugs runs with these versions"
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    if done.returncode == 1 and failed:  # Python itself ends with 1 where pytest cannot be imported
        return FAILED, failed[0][:300]
    return NOT_TESTED, f"pytest could not run: {(one_line(done.stderr) or last)[-200:]}"
