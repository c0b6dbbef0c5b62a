"""Measure how well preflight predicts the failures on MPS that PyTorch itself expects, in seven dtypes.

Every OpInfo of torch's test database runs forward on the CPU under the recorder, in each dtype that it takes
on MPS, with all the samples that PyTorch's tests have for MPS. A pair of OpInfo and dtype is predicted to
fail if it calls an operator without a kernel in the installed torch or one that refuses the dtype or the
sizes, or has a result in float64. The lists of the same torch (dtypes.json) say which pairs are expected to
fail; pairs about numbers alone are left out. Where a sample fails on the CPU, preflight has nothing to judge
("cannot tell"). Prints precision and recall by dtype, and every difference. Needs torch >= 2.8 and
expecttest; takes minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tomllib
import warnings
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import emulator_dtypes
import mps_dtypes
import torch
from torch.testing._internal.common_methods_invocations import op_db

from metalassay.mps.preflight import beyond, predict, tracing

CANNOT_TELL = "cannot tell"
Results = Mapping[str, Mapping[str, str]]


def predicted(
    info: Any, dtype: torch.dtype, version: str, watch: beyond.Watch, limit: int | None
) -> str:
    """Return why an OpInfo is predicted to fail in a dtype, "" if it is not, or ``CANNOT_TELL``."""
    torch.manual_seed(0)
    recorder = tracing.Recorder(watch=watch)
    try:
        # The samples for mps, on the CPU: another recorder, because what makes them is not the test's. Both are
        # of one program, which names mps and means the CPU where it names that.
        with tracing.Recorder() as makes:
            samples = list(info.sample_inputs("mps", dtype))[:limit]
        recorder.replaced, recorder.places = makes.replaced, makes.places
        for sample in samples:
            with recorder, torch.no_grad():
                info(sample.input, *sample.args, **sample.kwargs)
    except Exception:  # noqa: BLE001  (any error on the CPU is none of MPS)
        return CANNOT_TELL
    trace = {"torch": version, "ended": "", "calls": recorder.trace()}
    preflight = predict.judge(trace, [version])
    (judged,) = preflight.versions
    reasons = [f"{found.operator} has no kernel" for found in preflight.bad(judged, "missing")]
    reasons += [f"{found.operator} refuses {found.what}" for found in preflight.refused(judged)]
    return ", ".join([*reasons, *(["a result in float64"] if preflight.wide else [])])


def figures(
    results: Results, lists: Any, dtypes: Iterable[str], no_error: Collection[str]
) -> list[str]:
    """Return a table with a row per dtype and one for all, the recall of errors, and a line per difference.

    ``no_error`` are OpInfos whose listed failure is no error on a Mac, which preflight does not claim to foresee.
    """
    rows, differences = [], []
    silent = 0
    total = [0, 0, 0, 0, 0]
    for dtype in dtypes:
        row = [0, 0, 0, 0, 0]  # judged, listed, predicted, both, cannot tell
        for opinfo, by_dtype in results.items():
            expected = mps_dtypes.state(lists, opinfo, dtype, decorated=True)
            if dtype not in by_dtype or expected == "open":
                continue
            why = by_dtype[dtype]
            if why == CANNOT_TELL:
                row[4] += 1
                continue
            listed = expected == "fails"
            row[0] += 1
            row[1] += listed
            row[2] += bool(why)
            row[3] += listed and bool(why)
            if listed and not why:
                differences.append(f"listed, not predicted: {opinfo} in {dtype}")
                silent += opinfo in no_error
            elif why and not listed:
                differences.append(f"predicted, not listed: {opinfo} in {dtype}: {why}")
        total = [one + other for one, other in zip(total, row, strict=True)]
        rows.append(_row(dtype, row))
    head = [
        "| dtype | judged | listed | predicted | both | precision | recall | cannot tell |",
        "|:--|--:|--:|--:|--:|--:|--:|--:|",
    ]
    errors = total[1] - silent
    recall = f"{total[3] / errors:.3f}" if errors else "none"
    line = f"of the {errors} listed that are errors: recall {recall}; {silent} more are none"
    return [*head, *rows, _row("all", total), line, *differences]


def _row(name: str, row: list[int]) -> str:
    judged, listed, predictions, both, unknown = row
    precision = f"{both / predictions:.3f}" if predictions else "none"
    recall = f"{both / listed:.3f}" if listed else "none"
    return (
        f"| {name} | {judged} | {listed} | {predictions} | {both} | {precision} | {recall}"
        f" | {unknown} |"
    )


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
    lists = mps_dtypes.shipped(version)
    table = tomllib.loads(emulator_dtypes.TABLE.read_text("utf-8"))
    dtypes = table["dtypes"]
    settings = predict.settings()
    watch = beyond.Watch(settings["dtypes"], settings["limits"])
    began = time.monotonic()
    results: dict[str, dict[str, str]] = {}
    infos: list[Any] = [info for info in op_db if not info.name.startswith("jiterator")]
    for number, info in enumerate(infos):
        results[info.name + info.variant_test_name] = {
            name: predicted(info, getattr(torch, name), version, watch, options.samples)
            for name in dtypes
            if getattr(torch, name) in info.supported_dtypes("mps")
        }
        if number % 50 == 0:
            print(f"{number} of {len(infos)}, {time.monotonic() - began:.0f} s", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1, sort_keys=True))
    print("\n".join(figures(results, lists, dtypes, table["no_error"])))
    print(f"{len(results)} OpInfos, torch {torch.__version__}, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
