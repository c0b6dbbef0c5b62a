"""Ask pytest which bug and symptom each hazard is marked with: `collect_bug_marks.py TEST_FILE`.

A program, because importing the tests of compat/ needs a pytest session of their own. Prints JSON as
its last line: {hazard: [bug, symptom]}.
"""

from __future__ import annotations

import json
import sys

import pytest


class Marks:
    """A plugin that records the marks of the collected tests."""

    def __init__(self) -> None:
        self.by_hazard: dict[str, tuple[str, str]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            mark = item.get_closest_marker("bug")
            if mark is not None and isinstance(item, pytest.Function):
                hazard = item.callspec.params["hazard"]
                self.by_hazard[str(hazard)] = (mark.args[0], mark.kwargs["symptom"])


def main(file: str) -> int:
    marks = Marks()
    code = pytest.main(["--collect-only", "-qq", "-pno:cacheprovider", file], plugins=[marks])
    print(f"\n{json.dumps(marks.by_hazard)}")  # noqa: T201
    return int(code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
