"""Measure how well preflight predicts the failures on MPS that PyTorch itself expects.

Every OpInfo of torch's test database that takes float32 runs forward on the CPU under the recorder, with
all its samples. An OpInfo is predicted to fail if it calls an operator without a kernel in the installed
torch, or returns float64; ``common_mps.UNIMPLEMENTED_XFAILLIST`` of the same torch lists those that do.
Prints precision, recall and every difference. Needs torch >= 2.8 and expecttest; takes minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mps_opinfo
import torch

from metalassay.mps.preflight import predict, tracing


def predicted(info: Any, version: str, limit: int | None) -> tuple[Mapping[str, str], bool]:
    """Return the state of each operator without a kernel, and whether any result is float64."""
    recorder = tracing.Recorder()
    for number, sample in enumerate(info.sample_inputs("cpu", torch.float32)):
        if limit is not None and number >= limit:
            break
        # A sample that fails on the CPU tells nothing about MPS.
        with contextlib.suppress(RuntimeError, NotImplementedError), recorder, torch.no_grad():
            info(sample.input, *sample.args, **sample.kwargs)
    trace = {"torch": version, "ended": "", "calls": recorder.trace()}
    preflight = predict.judge(trace, [version])
    (torch_version,) = preflight.versions
    states = {finding.operator: finding.states[torch_version] for finding in preflight.findings}
    return states, bool(preflight.wide)


def main() -> None:
    """Run the OpInfos, compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, help="samples per OpInfo (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the predictions to FILE")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    version = torch.__version__.partition("+")[0]
    listed = mps_opinfo.expected_failures()
    began = time.monotonic()
    results: dict[str, dict[str, Any]] = {}
    infos = mps_opinfo.float32_infos()
    for number, info in enumerate(infos):
        name = info.name + (f".{info.variant_test_name}" if info.variant_test_name else "")
        key = info.name + info.variant_test_name
        operators, wide = predicted(info, version, options.samples)
        results[key] = {"name": name, "operators": operators, "wide": wide, "listed": key in listed}
        if number % 50 == 0:
            print(f"{number} of {len(infos)}, {time.monotonic() - began:.0f} s", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1, sort_keys=True))
    for kind in ("missing", "missing or float64"):
        predictions = {
            key
            for key, result in results.items()
            if "missing" in result["operators"].values() or (kind != "missing" and result["wide"])
        }
        failures = listed & results.keys()
        hits = len(predictions & failures)
        print(
            f"{kind}: {len(predictions)} predicted, {len(failures)} listed, {hits} in both:"
            f" precision {hits / len(predictions):.3f}, recall {hits / len(failures):.3f}"
        )
        print("  predicted, not listed:", ", ".join(sorted(predictions - failures)))
        print("  listed, not predicted:", ", ".join(sorted(failures - predictions)))
    print(f"{len(results)} OpInfos, torch {torch.__version__}, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
