"""Profile a workload of the benchmarks in this process: ``python -m metalassay.workers.profile_child FACTS``.

FACTS is one JSON object: device, workload, batch (samples), mode, steps, folder and suffix of the files. The
table goes to stdout. A process of its own, because a profiler leaves its traces in the one that it ran in.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from metalassay.errors import UserError
from metalassay.fields import one_line
from metalassay.measure import device
from metalassay.supervise.step_profiler import StepProfiler
from metalassay.workloads import registry


def main(facts: str) -> int:
    """Profile the steps that ``facts`` asks for; 2 with the reason on stderr where that cannot be done."""
    wanted = json.loads(facts)
    try:
        where = device.resolve(wanted["device"])
        recipe = registry.get(wanted["workload"])
        workload = registry.make(recipe, wanted["mode"], where, "float32", wanted["batch"])
        profiler = StepProfiler(
            torch,
            where.type,
            wanted["steps"],
            Path(wanted["folder"]),
            print,
            suffix=wanted["suffix"],
        )
        while not profiler.done:
            profiler.begin()
            workload.step()
            profiler.end()
    except (UserError, RuntimeError, MemoryError) as error:  # torch's own are RuntimeErrors
        sys.stderr.write(f"{one_line(str(error)) or type(error).__name__}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
