"""How well preflight foresees what PyTorch itself expects to fail on MPS, operator by operator.

Every OpInfo of torch's own test database that takes float32 runs forward on the CPU under the recorder,
with all its samples. An OpInfo with an operator that the installed torch has no kernel for (or a result
in float64) is predicted to fail; ``common_mps.UNIMPLEMENTED_XFAILLIST`` of the same torch says which do.
Prints precision, recall and every difference. Needs torch >= 2.8, expecttest; takes minutes.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import sys
import time
import warnings
from importlib import util
from pathlib import Path
from typing import Any

import torch
from torch.testing._internal.common_methods_invocations import op_db

from metalassay.mps.preflight import predict, tracing


def expected() -> dict[str, Any]:
    """Return PyTorch's list, by OpInfo; the dtypes that fail, None for all."""
    spec = util.find_spec("torch.testing._internal.common_mps")
    if spec is None or spec.origin is None:
        sys.exit("this torch has no common_mps: it comes with torch 2.8 and newer")
    tree = ast.parse(Path(spec.origin).read_text("utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        target: ast.expr = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if getattr(target, "id", "") == "UNIMPLEMENTED_XFAILLIST":
            code = compile(ast.Expression(node.value), "common_mps", "eval")
            found: dict[str, Any] = eval(code, {"torch": torch})  # noqa: S307  (torch's own list)
            return found
    sys.exit("common_mps has no UNIMPLEMENTED_XFAILLIST")


def foreseen(info: Any, version: str, limit: int | None) -> tuple[dict[str, str], bool]:
    """Return the operators without a kernel, with their state, and whether float64 came out."""
    recorder = tracing.Recorder()
    for number, sample in enumerate(info.sample_inputs("cpu", torch.float32)):
        if limit is not None and number >= limit:
            break
        # A sample that the CPU refuses says nothing about MPS.
        with contextlib.suppress(RuntimeError, NotImplementedError), recorder, torch.no_grad():
            info(sample.input, *sample.args, **sample.kwargs)
    trace = {"torch": version, "ended": "", "calls": recorder.trace()}
    found = predict.judge(trace, [version])
    return {each.operator: each.states[found.versions[0]] for each in found.findings}, bool(
        found.wide
    )


def main() -> None:
    """Run, compare, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--samples", type=int, help="samples of each OpInfo (default: all)")
    options.add_argument("--json", type=Path, help="write what was foreseen here")
    chosen = options.parse_args()
    warnings.simplefilter("ignore")
    version = torch.__version__.partition("+")[0]
    listed = {
        name for name, dtypes in expected().items() if dtypes is None or torch.float32 in dtypes
    }
    began = time.monotonic()
    results: dict[str, dict[str, Any]] = {}
    # jiterator is CUDA alone, and says so with an assertion.
    infos = [i for i in op_db if torch.float32 in i.dtypes and not i.name.startswith("jiterator")]
    for number, info in enumerate(infos):
        name = info.name + (f".{info.variant_test_name}" if info.variant_test_name else "")
        key = info.name + info.variant_test_name
        operators, wide = foreseen(info, version, chosen.samples)
        results[key] = {"name": name, "operators": operators, "wide": wide, "listed": key in listed}
        if number % 50 == 0:
            print(f"{number} of {len(infos)}, {time.monotonic() - began:.0f} s", file=sys.stderr)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1, sort_keys=True))
    for kind in ("missing", "missing or float64"):
        said = {
            key
            for key, each in results.items()
            if "missing" in each["operators"].values() or (kind != "missing" and each["wide"])
        }
        inside = listed & results.keys()
        hits = len(said & inside)
        print(
            f"{kind}: {len(said)} foreseen, {len(inside)} listed, {hits} of them foreseen:"
            f" precision {hits / len(said):.3f}, recall {hits / len(inside):.3f}"
        )
        print("  foreseen, not listed:", ", ".join(sorted(said - inside)))
        print("  listed, not foreseen:", ", ".join(sorted(inside - said)))
    print(f"{len(results)} OpInfos, torch {torch.__version__}, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
