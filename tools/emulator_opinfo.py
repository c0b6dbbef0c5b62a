"""Hold the emulated mps against PyTorch's own word, operator by operator.

Every OpInfo of torch's test database that takes float32 runs on the emulated device, with all its
samples, forward and backward. What fails forward as "not implemented" is held against
``common_mps.UNIMPLEMENTED_XFAILLIST`` of the same torch. Every difference, and every other failure,
must be explained by name in emulator_opinfo.toml: exit code 1 and a line for each that is not, and
for each explanation that is not needed any more. Needs torch >= 2.8; takes minutes.
"""

from __future__ import annotations

import argparse
import ast
import gc
import json
import os
import re
import sys
import time
import tomllib
import warnings
from importlib import util
from pathlib import Path
from typing import Any

import torch
from torch.testing._internal.common_methods_invocations import op_db

from metalassay.mps.emulator import emulate_mps

TABLE = Path(__file__).with_name("emulator_opinfo.toml")
MISSING = re.compile(r"operator '([^']+)' is not currently implemented for the MPS device")
MOST_GROWTH = 5.0  # MB a run; the allocator of libc gives and takes about one
RANDOM = re.compile(
    "dropout|rand|normal|uniform|exponential|bernoulli|empty|multinomial|cauchy|geometric|rrelu"
    "|poisson|binomial"
)


def expected() -> dict[str, Any]:
    """Return PyTorch's list, by OpInfo; the dtypes that fail, None for all."""
    spec = util.find_spec("torch.testing._internal.common_mps")
    if spec is None or spec.origin is None:
        sys.exit("this torch has no common_mps: it comes with torch 2.8 and newer")
    for node in ast.walk(ast.parse(Path(spec.origin).read_text("utf-8"))):
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        target: ast.expr = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if getattr(target, "id", "") == "UNIMPLEMENTED_XFAILLIST":
            code = compile(ast.Expression(node.value), "common_mps", "eval")
            found: dict[str, Any] = eval(code, {"torch": torch})  # noqa: S307  (torch's own list)
            return found
    sys.exit("common_mps has no UNIMPLEMENTED_XFAILLIST")


def kind_of(error: BaseException) -> tuple[str, str]:
    """Return the class of a failure, and the operator or the first line of what was said."""
    text = str(error)
    if found := MISSING.search(text):
        return "missing", found[1]
    if isinstance(error, TypeError) and ("float64" in text or "ComplexDouble" in text):
        return "float64", text.partition("\n")[0][:60]
    return "other", f"{type(error).__name__}: {text.partition(chr(10))[0][:160]}"


def tensors(value: Any) -> list[torch.Tensor]:
    """Return the tensors in a result, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [each for part in value for each in tensors(part)]
    return []


def run(info: Any, limit: int | None) -> dict[str, list[str]]:
    """Run one OpInfo; return what failed, by "forward missing", "backward other" and the like."""
    found: dict[str, set[str]] = {}

    def note(where: str, error: BaseException) -> None:
        kind, what = kind_of(error)
        found.setdefault(f"{where} {kind}", set()).add(what)

    backward = info.supports_autograd
    torch.manual_seed(0)
    try:
        samples = list(info.sample_inputs("mps", torch.float32, requires_grad=backward))
    except Exception as error:  # noqa: BLE001  (whatever it is, it is the finding)
        note("samples", error)
        torch.manual_seed(0)
        try:
            cpu = list(info.sample_inputs("cpu", torch.float32, requires_grad=backward))
            samples = [each.transform(to_mps) for each in cpu]
        except Exception as again:  # noqa: BLE001
            note("samples", again)
            return {key: sorted(each) for key, each in found.items()}
    for sample in samples[:limit]:
        try:
            result = info(sample.input, *sample.args, **sample.kwargs)
        except Exception as error:  # noqa: BLE001
            note("forward", error)
            continue
        compare(info, sample, result, found)
        outputs = [each for each in tensors(result) if each.requires_grad]
        if not backward or not outputs:
            continue
        if sample.output_process_fn_grad is not None:
            outputs = [
                each
                for each in tensors(sample.output_process_fn_grad(result))
                if each.requires_grad
            ] or outputs
        try:
            torch.autograd.backward(outputs, [torch.ones_like(each) for each in outputs])
        except Exception as error:  # noqa: BLE001
            note("backward", error)
    return {key: sorted(each) for key, each in found.items()}


def to_mps(value: Any) -> Any:
    """Move one tensor, as a leaf."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.detach().to("mps").requires_grad_(value.requires_grad)


def compare(info: Any, sample: Any, result: Any, found: dict[str, set[str]]) -> None:
    """Note where the CPU computes something else from the same arguments: it is the same kernel."""
    random = RANDOM.search(info.name) or sample.kwargs.get("dropout_p")
    if random or sample.kwargs.get("device") is not None:
        return

    def to_cpu(value: Any) -> Any:
        return value.detach().cpu() if isinstance(value, torch.Tensor) else value

    plain = sample.transform(to_cpu)
    try:
        right = info(plain.input, *plain.args, **plain.kwargs)
        torch.testing.assert_close(
            [each.detach().cpu() for each in tensors(result)],
            [each.detach() for each in tensors(right)],
            rtol=1e-5,
            atol=1e-5,
            equal_nan=True,
            check_stride=False,
        )
    except AssertionError as error:
        found.setdefault("differs", set()).add(str(error).partition("\n")[0][:80])
    except Exception as error:  # noqa: BLE001
        found.setdefault("cpu refuses", set()).add(f"{type(error).__name__}: {error}"[:80])


def differences(results: dict[str, dict[str, list[str]]]) -> dict[tuple[str, str], list[str]]:
    """Return what needs an explanation: (OpInfo, what), with the details."""
    listed = {
        name for name, dtypes in expected().items() if dtypes is None or torch.float32 in dtypes
    }
    found: dict[tuple[str, str], list[str]] = {}
    for key, result in results.items():
        missing = result.get("forward missing", [])
        if key in listed and not missing:
            rest = [f"{kind}: {what}" for kind, all_ in result.items() for what in all_]
            found[key, "listed, not missing here"] = rest
        if missing and key not in listed:
            found[key, "missing here, not listed"] = missing
        for kind, details in result.items():
            if kind != "forward missing" and not (key in listed and kind != "differs"):
                found[key, kind] = details
    return found


def main() -> int:
    """Run, compare, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--samples", type=int, help="samples of each OpInfo (default: all)")
    options.add_argument("--only", help="a regular expression for the names of OpInfos")
    options.add_argument("--json", type=Path, help="write all results here")
    options.add_argument(
        "--leaks", type=int, metavar="N", help="run N times instead, and watch the memory"
    )
    options.add_argument("--draft", action="store_true", help="print rows for the table")
    chosen = options.parse_args()
    warnings.simplefilter("ignore")
    began = time.monotonic()
    # jiterator is CUDA alone, and says so with an assertion.
    infos = [i for i in op_db if torch.float32 in i.dtypes and not i.name.startswith("jiterator")]
    if chosen.only:
        infos = [info for info in infos if re.search(chosen.only, info.name)]
    if chosen.leaks:
        return leaks(infos, chosen.leaks, chosen.samples)
    results: dict[str, dict[str, list[str]]] = {}
    with emulate_mps(quiet=True), torch.random.fork_rng(devices=[]):
        for number, info in enumerate(infos):
            results[info.name + info.variant_test_name] = run(info, chosen.samples)
            if number % 100 == 0:
                print(f"{number} of {len(infos)}, {memory():.0f} MB", file=sys.stderr, flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1, sort_keys=True))
    return judge(results, began, whole=not chosen.only and not chosen.samples, draft=chosen.draft)


def leaks(infos: list[Any], times: int, limit: int | None) -> int:
    """Run everything again and again; return 1 if memory is kept from one time to the next."""
    resident = []
    with emulate_mps(quiet=True), torch.random.fork_rng(devices=[]):
        for number in range(times):
            for info in infos:
                run(info, limit)
            gc.collect()
            resident.append(memory())
            kept = torch.mps.current_allocated_memory()
            print(
                f"run {number + 1}: {resident[-1]:.0f} MB resident, {kept} bytes of mps kept",
                flush=True,
            )
    # The first run fills caches of torch; what a leak adds, it adds every time.
    grown = (resident[-1] - resident[1]) / max(times - 2, 1) if times > 2 else 0.0
    print(f"{grown:+.1f} MB a run, after the second")
    return int(grown > MOST_GROWTH or kept > 0)


def judge(
    results: dict[str, dict[str, list[str]]], began: float, *, whole: bool, draft: bool
) -> int:
    """Print precision, recall and what is unexplained; return the exit code."""
    listed = {
        name for name, dtypes in expected().items() if dtypes is None or torch.float32 in dtypes
    } & results.keys()
    said = {key for key, each in results.items() if "forward missing" in each}
    hits = len(said & listed)
    print(
        f"torch {torch.__version__}, {len(results)} OpInfos, {time.monotonic() - began:.0f} s:"
        f" {len(said)} without a kernel here, {len(listed)} listed, {hits} in both:"
        f" precision {hits / max(len(said), 1):.3f}, recall {hits / max(len(listed), 1):.3f}"
    )
    table = tomllib.loads(TABLE.read_text("utf-8"))
    if table["torch"] != torch.__version__.partition("+")[0]:
        print(f"the explanations are for torch {table['torch']}")
    explained = {(row["op"], row["what"]) for row in table["row"]}
    found = differences(results)
    new = {key: details for key, details in found.items() if key not in explained}
    for (op, what), details in sorted(new.items()):
        if draft:
            print(f'[[row]]\nop = "{op}"\nwhat = "{what}"\nclass = ""\nwhy = {json.dumps(details)}')
        else:
            print(red(f"unexplained: {op}: {what}: {'; '.join(details) or 'nothing fails'}"))
    gone = sorted(explained - found.keys()) if whole else []
    for op, what in gone:
        print(red(f"explained, and not so any more: {op}: {what}"))
    print(f"{len(found)} differences, {len(found) - len(new)} explained, {len(new)} unexplained")
    return 1 if new or gone else 0


def red(text: str) -> str:
    """Colour a line for a terminal, or for CI that shows colours."""
    coloured = sys.stdout.isatty() or "FORCE_COLOR" in os.environ
    return f"\x1b[31m{text}\x1b[0m" if coloured else text


def memory() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
