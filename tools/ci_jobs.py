"""Distribute the rows of the matrix over the jobs of a workflow: `metalassay matrix shard` with labels of runners.

MACHINES is the output of tools/ci_runners.py. With --tag full --of 12, every row, 12 jobs on each machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import ci_outputs

from metalassay.errors import UserError
from metalassay.matrix import durations, jobs, matrix_file


def main(arguments: list[str] | None = None) -> int:
    """Write the output ``jobs``, and a line for each job."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--of", type=int, required=True, metavar="N", help="jobs on each machine")
    parser.add_argument("--tag", required=True, help="the rows that have this tag")
    options = parser.parse_args(arguments)
    if not 1 <= options.of <= jobs.MOST:
        sys.exit(f"ci_jobs: --of must be from 1 to {jobs.MOST}, not {options.of}")
    runners = {each["machine"]: each["labels"] for each in json.loads(os.environ["MACHINES"])}
    rows = [
        row.id
        for row in matrix_file.load(Path()).rows.values()
        if options.tag in row.tags and row.runs == matrix_file.COMPAT
    ]
    if not rows or not runners:
        sys.exit(f"ci_jobs: nothing to run: {len(rows)} rows with the tag, {len(runners)} machines")
    known = durations.recorded(rows, [durations.EVIDENCE])
    try:
        found = jobs.jobs(rows, known, options.of, list(runners))
    except UserError as error:
        sys.exit(f"ci_jobs: {error.message}; {error.next_step}")
    ci_outputs.output("jobs", [{**job, "labels": runners[job["machine"]]} for job in found])
    for job in found:
        seconds = "not timed" if job["seconds"] is None else f"about {job['seconds']:.0f} s"
        print(f"{job['artifact']}: {len(job['rows'])} rows, {seconds}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
