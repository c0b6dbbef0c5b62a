"""Record whether MPS computes on a runner, by a matmul and an inverse compared with the CPU's, not by an allocation.

python tools/ci_mps.py --machine macos-15 --output FOLDER     one record, with the image and torch
python tools/ci_mps.py --summarise FOLDER                      a table of all records below it

A virtual GPU that is offered and does not compute is no failure of ours: the job stays green, and its record and the
job's page say "not tested". What is a failure is a torch that cannot be imported.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import ci_outputs

from metalassay import files
from metalassay.mps import probe

SCHEMA = "metalassay.ci-mps/1"
NAME = "mps-probe.record"  # no .json: it is not a result of a run, which a report would look for
TESTED = "tested"
VERDICTS = {
    probe.USABLE: TESTED,
    probe.DEAD: "not tested: MPS advertised but dead",
    probe.WRONG: "not tested: MPS advertised but it computes wrong results, hangs or aborts",
    probe.NOT_ADVERTISED: "not tested: torch offers no MPS here",
    probe.NOT_BUILT: "not tested: this torch is built without MPS",
}
METAL_4 = (
    "No hosted runner has a GPU that compiles Metal 4 shaders, which torch emits from 2.14 on: what needs them is"
    " tested on Macs of our own only."
)


def record(machine: str, found: probe.Probe) -> dict[str, Any]:
    """Lay out what the probe found; ends the program where no torch could be asked."""
    if found.state not in VERDICTS:
        sys.exit(f"ci_mps: {found.state}: {found.reason}")
    image = " ".join(filter(None, map(os.environ.get, ("ImageOS", "ImageVersion"))))
    return {
        "schema": SCHEMA,
        "machine": machine,
        "image": image or None,
        "macos": found.macos,
        "torch": found.torch,
        "gpu": found.gpu,
        "virtual": found.virtual,
        "state": found.state,
        "verdict": VERDICTS[found.state],
        "reason": found.reason,
    }


def table(records: list[dict[str, Any]]) -> str:
    """Return the records as a table in Markdown, and what no hosted runner can show."""
    heads = ("machine", "image", "macos", "torch", "verdict", "reason")
    lines = [
        "### MPS on the runners",
        "",
        "| " + " | ".join(heads) + " |",
        "|:--" * len(heads) + "|",
    ]
    for each in sorted(records, key=lambda each: str(each["machine"])):
        lines.append("| " + " | ".join(_cell(each[head]) for head in heads) + " |")
    return "\n".join([*lines, "", METAL_4])


def _cell(value: object) -> str:
    text = "not known" if value is None else " ".join(str(value).split())
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def main(arguments: list[str] | None = None) -> int:
    """Write one record, or the table of many."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--machine", default="this machine")
    parser.add_argument("--output", type=Path, default=Path("reports"))
    parser.add_argument("--summarise", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    if options.summarise:
        found = [json.loads(files.content(path)) for path in options.summarise.rglob(NAME)]
        different = {json.dumps(each, sort_keys=True): each for each in found}
        ci_outputs.summary(table(list(different.values())))
        return 0
    one = record(options.machine, probe.probe(timeout=300))
    options.output.mkdir(parents=True, exist_ok=True)
    files.write_atomically(options.output / NAME, json.dumps(one, indent=1) + "\n")
    ci_outputs.notice("notice", f"MPS on {one['machine']} ({one['image']}): {one['verdict']}")
    ci_outputs.summary(table([one]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
