"""Runs the compatibility suite's tests of a few bugs in another environment (``diagnosis.check``)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib import util
from pathlib import Path

from metalassay.bugs import verdict
from metalassay.diagnosis import check
from metalassay.errors import UserError

_TIMEOUT = 900.0  # seconds

NOT_TESTED, PASSED, FAILED = "not tested", "passed", "failed"


def run(python: str, ids: Sequence[str]) -> tuple[str, str]:
    """Run the tests of those bugs with an interpreter; return whether they agree with the data, and why not.

    "not tested" is an answer of its own, with its reason: there is no suite, or no pytest.
    """
    if not ids:
        return NOT_TESTED, "the change is not about a known bug with tests"
    if util.find_spec("pytest") is None:
        return NOT_TESTED, "pytest is not installed beside metalassay"
    with tempfile.TemporaryDirectory() as name:
        wanted = check.Wanted(tuple(ids), slow=True)
        try:
            known = check.run(python, wanted, Path(name, "verdicts.json"), timeout=_TIMEOUT).known
        except check.TooLongError:
            return FAILED, f"they did not end within {_TIMEOUT / 60:.0f} minutes"
        except UserError as error:
            return NOT_TESTED, error.message
    red = [f"{bug.id}: {bug.verdict}" for bug in known.bugs if bug.verdict in verdict.RED]
    red += [f"{failure.test}: {failure.outcome}" for failure in known.other_failures]
    if red:
        return FAILED, "; ".join(red)
    ran = [test for bug in known.bugs for test in bug.tests if test.outcome != "skipped"]
    if not ran:
        return NOT_TESTED, "no test of these bugs runs with these versions"
    return PASSED, f"{len(ran)} test{'' if len(ran) == 1 else 's'} as expected"
