"""Fail unless every job that the gate needs has succeeded. Standard library only.

NEEDS is the workflow's ``toJSON(needs)``, MAY_BE_SKIPPED the names of jobs that this run may leave out.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Mapping
from typing import Any


def failed(needs: Mapping[str, Mapping[str, Any]], may_be_skipped: Collection[str]) -> list[str]:
    """Return a line for each job that stands in the way: a skipped or cancelled one has not succeeded."""
    return [
        f"{name}: {job['result']}"
        for name, job in needs.items()
        if job["result"] != "success"
        and not (job["result"] == "skipped" and name in may_be_skipped)
    ]


def main() -> int:
    """Print what stands in the way, and return 1 if anything does."""
    needs = json.loads(os.environ["NEEDS"])
    if not needs:
        sys.exit("ci_gate: no job is needed, so nothing was tested")
    lines = failed(needs, os.environ.get("MAY_BE_SKIPPED", "").split())
    print("\n".join(lines) or f"{len(needs)} jobs, all green")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
