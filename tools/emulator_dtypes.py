"""Compare the emulated mps with PyTorch's own expectations in seven dtypes; run by `nox -s emulated`.

Every OpInfo runs forward on the emulated device in each dtype that it takes on MPS: with its first samples,
and with all of them where PyTorch expects a failure (common_mps and the OpInfos of the same torch, read from
its macOS wheel). What is expected to fail should fail here, and nothing else may. PyTorch's test compares with
the CPU, so a listed pair also fails if the CPU raises an error or returns another dtype; such pairs are counted
apart. Exits with code 1 and a line for each pair of OpInfo and dtype that fails without being listed or
explained in emulator_dtypes.toml, if fewer listed pairs fail than the file says, or if one that does not has
no reason there.
"""

from __future__ import annotations

import argparse
import functools
import itertools
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


CPU = "on the CPU: "


def run(info: Any, dtype: torch.dtype, limit: int | None) -> str:
    """Return the first error of an OpInfo in a dtype, or "" if every sample runs.

    Without a ``limit``, all samples run as in PyTorch's test, on the CPU too; an error that begins with
    ``CPU`` is one that the device does not have.
    """
    torch.manual_seed(0)
    from_the_cpu = ""
    try:
        for sample in itertools.islice(info.sample_inputs("mps", dtype), limit):
            result = info(sample.input, *sample.args, **sample.kwargs)
            if limit is None and not from_the_cpu:
                from_the_cpu = _on_the_cpu(info, sample, result)
    except Exception as error:  # noqa: BLE001  (any error is a result)
        return _first_line(error)
    return from_the_cpu


def _on_the_cpu(info: Any, sample: Any, result: Any) -> str:
    """Return why the test of a sample fails although the device has a result, or ""."""
    to_cpu = functools.partial(torch.utils._pytree.tree_map, _from_mps)
    try:
        expected = info(to_cpu(sample.input), *to_cpu(sample.args), **to_cpu(sample.kwargs))
    except Exception as error:  # noqa: BLE001  (any error is a result)
        return CPU + _first_line(error)
    ours, theirs = (
        [leaf.dtype for leaf in torch.utils._pytree.tree_leaves(each) if hasattr(leaf, "dtype")]
        for each in (result, expected)
    )
    return "" if ours == theirs else f"{CPU}it returns {theirs}, and mps {ours}"


def _from_mps(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, (str, torch.device)) and str(value).startswith("mps"):
        return "cpu"
    return value


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def judge(results: dict[str, dict[str, str]], version: str, table: dict[str, Any]) -> list[str]:
    """Print the counts; return a line for everything that is not as expected."""
    lists = mps_dtypes.shipped(version)
    explained, reasons = set(table["explained"]), set(table["passing"])
    counts = {"fails": 0, "passes": 0, "open": 0}
    failed, by_cpu, wrong, seen = 0, 0, [], set()
    for opinfo, by_dtype in results.items():
        for dtype, error in by_dtype.items():
            expected = mps_dtypes.state(lists, opinfo, dtype, decorated=True)
            counts[expected] += 1
            failed += bool(error) and expected == "fails"
            by_cpu += error.startswith(CPU) and expected == "fails"
            if expected == "fails" and not error:
                seen.add(opinfo)
                if opinfo not in reasons:
                    wrong.append(f"{opinfo} in {dtype} is listed and does not fail")
            if error and expected == "passes":
                seen.add(opinfo)
                if opinfo not in explained:
                    wrong.append(f"{opinfo} in {dtype} fails and is not listed: {error}")
    print(
        f"torch {version}: {sum(counts.values())} pairs; {counts['fails']} are expected to fail and"
        f" {failed} do, {by_cpu} of them for what the CPU does; {counts['passes']} are expected to pass; {counts['open']} are open"
    )
    if failed < table["failing"]:
        wrong.append(f"{failed} listed pairs fail, and {table['failing']} did")
    return wrong + [
        f"explained, but as expected: {name}"
        for name in sorted(explained | reasons)
        if name not in seen
    ]


def main() -> int:
    """Run the OpInfos, compare and print; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--samples", type=int, default=4, help="samples of what should pass (default: 4)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the first errors to FILE")
    options = parser.parse_args()
    table = tomllib.loads(TABLE.read_text("utf-8"))
    version = torch.__version__.partition("+")[0]
    if table["torch"] != version:
        raise UserError(
            f"the table is for torch {table['torch']}, not {version}", "install that torch"
        )
    warnings.simplefilter("ignore")
    lists = mps_dtypes.shipped(version)

    def listed(key: str, dtype: str) -> bool:
        return mps_dtypes.state(lists, key, dtype, decorated=True) == "fails"

    began = time.monotonic()
    infos: list[Any] = [info for info in op_db if not info.name.startswith("jiterator")]
    results: dict[str, dict[str, str]] = {}
    with emulate_mps(quiet=True), torch.random.fork_rng(devices=[]):
        for info in infos:
            key = info.name + info.variant_test_name
            results[key] = {
                name: run(
                    info, getattr(torch, name), None if listed(key, name) else options.samples
                )
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
