"""Compare the emulated mps with PyTorch's own expectations in seven dtypes; run by `nox -s emulated`.

Every OpInfo runs forward on the emulated device with its first samples, in each dtype that it takes on
MPS. What PyTorch expects to fail (common_mps of the same torch, read from its macOS wheel) should fail here,
and nothing else may. Exits with code 1 and a line for each pair of OpInfo and dtype that fails without
being listed or explained in emulator_dtypes.toml, or if fewer listed pairs fail than the file says.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tomllib
import warnings
from pathlib import Path
from typing import Any

import mps_dtypes
import torch
from torch.testing._internal.common_methods_invocations import op_db

from metalassay.errors import UserError
from metalassay.mps.emulator import emulate_mps

TABLE = Path(__file__).with_name("emulator_dtypes.toml")


def run(info: Any, dtype: torch.dtype, limit: int) -> str:
    """Return the first error of an OpInfo in a dtype, or "" if every sample runs."""
    torch.manual_seed(0)
    try:
        samples = list(info.sample_inputs("mps", dtype))[:limit]
    except (RuntimeError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    for sample in samples:
        try:
            info(sample.input, *sample.args, **sample.kwargs)
        except Exception as error:  # noqa: BLE001  (any error is a result)
            return f"{type(error).__name__}: {error}".partition("\n")[0]
    return ""


def judge(results: dict[str, dict[str, str]], version: str, table: dict[str, Any]) -> list[str]:
    """Print the counts; return a line for everything that is not as expected."""
    lists = mps_dtypes.shipped(version)
    explained = set(table["explained"])
    counts = {"fails": 0, "passes": 0, "open": 0}
    failed, wrong, seen = 0, [], set()
    for opinfo, by_dtype in results.items():
        for dtype, error in by_dtype.items():
            expected = mps_dtypes.state(lists, opinfo, dtype)
            counts[expected] += 1
            failed += bool(error) and expected == "fails"
            if error and expected == "passes":
                seen.add(opinfo)
                if opinfo not in explained:
                    wrong.append(f"{opinfo} in {dtype} fails and is not listed: {error}")
    print(
        f"torch {version}: {sum(counts.values())} pairs; {counts['fails']} are expected to fail and"
        f" {failed} do; {counts['passes']} are expected to pass; {counts['open']} are open"
    )
    if failed < table["failing"]:
        wrong.append(f"{failed} listed pairs fail, and {table['failing']} did")
    return wrong + [f"explained, but it passes: {name}" for name in sorted(explained - seen)]


def main() -> int:
    """Run the OpInfos, compare and print; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=4, help="samples per OpInfo (default: 4)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the first errors to FILE")
    options = parser.parse_args()
    table = tomllib.loads(TABLE.read_text("utf-8"))
    version = torch.__version__.partition("+")[0]
    if table["torch"] != version:
        raise UserError(
            f"the table is for torch {table['torch']}, not {version}", "install that torch"
        )
    warnings.simplefilter("ignore")
    began = time.monotonic()
    infos: list[Any] = [info for info in op_db if not info.name.startswith("jiterator")]
    results: dict[str, dict[str, str]] = {}
    with emulate_mps(quiet=True), torch.random.fork_rng(devices=[]):
        for info in infos:
            results[info.name + info.variant_test_name] = {
                name: run(info, getattr(torch, name), options.samples)
                for name in table["dtypes"]
                if getattr(torch, name) in info.supported_dtypes("mps")
            }
    if options.json:
        options.json.write_text(json.dumps(results, indent=1, sort_keys=True))
    wrong = judge(results, version, table)
    print("\n".join([*wrong, f"{time.monotonic() - began:.0f} s, {len(wrong)} not as expected"]))
    return int(bool(wrong))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"emulator_dtypes: {error.message}\n  next: {error.next_step}", file=sys.stderr)
        sys.exit(error.exit_code)
