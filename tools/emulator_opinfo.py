"""Compare the emulated mps with PyTorch's own expectations, operator by operator.

Every OpInfo of torch's test database that takes float32 runs on the emulated device with all its
samples, forward and backward. The OpInfos that fail forward as "not implemented" are compared with
``common_mps.UNIMPLEMENTED_XFAILLIST`` of the same torch. Every difference, and every other failure,
must be explained by name in emulator_opinfo.toml. Exits with code 1 and prints a line for each that is
not, and for each explanation that is no longer needed. Needs torch >= 2.8; takes minutes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import sys
import time
import tomllib
import warnings
from pathlib import Path
from typing import Any

import mps_opinfo
import torch

from metalassay.mps.emulator import emulate_mps

TABLE = Path(__file__).with_name("emulator_opinfo.toml")
MISSING = re.compile(r"operator '([^']+)' is not currently implemented for the MPS device")
MAX_GROWTH = 5.0  # MB per run; the libc allocator alone varies by about one
RANDOM = re.compile(
    "dropout|rand|normal|uniform|exponential|bernoulli|empty|multinomial|cauchy|geometric|rrelu"
    "|poisson|binomial"
)


def kind_of(error: BaseException) -> tuple[str, str]:
    """Return the kind of a failure, and the operator or the first line of the message."""
    text = str(error)
    if match := MISSING.search(text):
        return "missing", match[1]
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
        return [tensor for part in value for tensor in tensors(part)]
    return []


def run(info: Any, limit: int | None) -> dict[str, list[str]]:
    """Run one OpInfo; return the failures by kind, such as "forward missing" or "backward other"."""
    failures: dict[str, set[str]] = {}

    def note(stage: str, error: BaseException) -> None:
        kind, detail = kind_of(error)
        failures.setdefault(f"{stage} {kind}", set()).add(detail)

    backward = info.supports_autograd
    torch.manual_seed(0)
    try:
        samples = list(info.sample_inputs("mps", torch.float32, requires_grad=backward))
    except Exception as error:  # noqa: BLE001  (any error is a result)
        note("samples", error)
        torch.manual_seed(0)
        try:
            cpu = list(info.sample_inputs("cpu", torch.float32, requires_grad=backward))
            samples = [sample.transform(to_mps) for sample in cpu]
        except Exception as again:  # noqa: BLE001
            note("samples", again)
            return {kind: sorted(details) for kind, details in failures.items()}
    for sample in samples[:limit]:
        try:
            result = info(sample.input, *sample.args, **sample.kwargs)
        except Exception as error:  # noqa: BLE001
            note("forward", error)
            continue
        compare(info, sample, result, failures)
        outputs = [tensor for tensor in tensors(result) if tensor.requires_grad]
        if not backward or not outputs:
            continue
        if sample.output_process_fn_grad is not None:
            outputs = [
                tensor
                for tensor in tensors(sample.output_process_fn_grad(result))
                if tensor.requires_grad
            ] or outputs
        try:
            torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])
        except Exception as error:  # noqa: BLE001
            note("backward", error)
    return {kind: sorted(details) for kind, details in failures.items()}


def to_mps(value: Any) -> Any:
    """Return a tensor on mps as a leaf; anything else unchanged."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.detach().to("mps").requires_grad_(value.requires_grad)


def compare(info: Any, sample: Any, result: Any, failures: dict[str, set[str]]) -> None:
    """Add a failure if the CPU, which has the same kernel, computes something else."""
    random = RANDOM.search(info.name) or sample.kwargs.get("dropout_p")
    if random or sample.kwargs.get("device") is not None:
        return

    def to_cpu(value: Any) -> Any:
        return value.detach().cpu() if isinstance(value, torch.Tensor) else value

    cpu_sample = sample.transform(to_cpu)
    try:
        cpu_result = info(cpu_sample.input, *cpu_sample.args, **cpu_sample.kwargs)
        torch.testing.assert_close(
            [tensor.detach().cpu() for tensor in tensors(result)],
            [tensor.detach() for tensor in tensors(cpu_result)],
            rtol=1e-5,
            atol=1e-5,
            equal_nan=True,
            check_stride=False,
        )
    except AssertionError as error:
        failures.setdefault("differs", set()).add(str(error).partition("\n")[0][:80])
    except Exception as error:  # noqa: BLE001
        failures.setdefault("cpu refuses", set()).add(f"{type(error).__name__}: {error}"[:80])


def differences(results: dict[str, dict[str, list[str]]]) -> dict[tuple[str, str], list[str]]:
    """Return the details of everything that needs an explanation, by (OpInfo, what)."""
    listed = mps_opinfo.expected_failures()
    by_case: dict[tuple[str, str], list[str]] = {}
    for key, result in results.items():
        missing = result.get("forward missing", [])
        if key in listed and not missing:
            by_case[key, "listed, not missing here"] = [
                f"{kind}: {detail}" for kind, details in result.items() for detail in details
            ]
        if missing and key not in listed:
            by_case[key, "missing here, not listed"] = missing
        for kind, details in result.items():
            if kind != "forward missing" and not (key in listed and kind != "differs"):
                by_case[key, kind] = details
    return by_case


def main() -> int:
    """Run the OpInfos, compare and print; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, help="samples per OpInfo (default: all)")
    parser.add_argument(
        "--only", help="run only OpInfos whose name matches this regular expression"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results to FILE")
    parser.add_argument(
        "--leaks",
        type=int,
        metavar="N",
        help="run everything N times and report the memory instead",
    )
    parser.add_argument("--draft", action="store_true", help="print rows for emulator_opinfo.toml")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    began = time.monotonic()
    infos = mps_opinfo.float32_infos()
    if options.only:
        infos = [info for info in infos if re.search(options.only, info.name)]
    if options.leaks:
        return leaks(infos, options.leaks, options.samples)
    results: dict[str, dict[str, list[str]]] = {}
    with emulate_mps(quiet=True), torch.random.fork_rng(devices=[]):
        for number, info in enumerate(infos):
            results[info.name + info.variant_test_name] = run(info, options.samples)
            if number % 100 == 0:
                print(f"{number} of {len(infos)}, {memory():.0f} MB", file=sys.stderr, flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1, sort_keys=True))
    return judge(
        results, began, whole=not options.only and not options.samples, draft=options.draft
    )


def leaks(infos: list[Any], times: int, limit: int | None) -> int:
    """Run everything ``times`` times; return 1 if memory grows from run to run."""
    resident = []
    with emulate_mps(quiet=True), torch.random.fork_rng(devices=[]):
        for number in range(times):
            for info in infos:
                run(info, limit)
            gc.collect()
            resident.append(memory())
            allocated = torch.mps.current_allocated_memory()
            print(
                f"run {number + 1}: {resident[-1]:.0f} MB resident, {allocated} bytes of mps still allocated",
                flush=True,
            )
    # The first run fills torch's caches; a leak adds memory in every run.
    grown = (resident[-1] - resident[1]) / max(times - 2, 1) if times > 2 else 0.0
    print(f"{grown:+.1f} MB per run after the second")
    return int(grown > MAX_GROWTH or allocated > 0)


def judge(
    results: dict[str, dict[str, list[str]]], began: float, *, whole: bool, draft: bool
) -> int:
    """Print precision, recall and unexplained differences; return the exit code."""
    listed = mps_opinfo.expected_failures() & results.keys()
    missing = {key for key, result in results.items() if "forward missing" in result}
    hits = len(missing & listed)
    print(
        f"torch {torch.__version__}, {len(results)} OpInfos, {time.monotonic() - began:.0f} s:"
        f" {len(missing)} without a kernel here, {len(listed)} listed, {hits} in both:"
        f" precision {hits / max(len(missing), 1):.3f}, recall {hits / max(len(listed), 1):.3f}"
    )
    table = tomllib.loads(TABLE.read_text("utf-8"))
    if table["torch"] != torch.__version__.partition("+")[0]:
        print(f"the explanations are for torch {table['torch']}")
    explained = {(row["op"], row["what"]) for row in table["row"]}
    required = {(row["op"], row["what"]) for row in table["row"] if not row.get("varies")}
    by_case = differences(results)
    new = {key: details for key, details in by_case.items() if key not in explained}
    for (op, what), details in sorted(new.items()):
        if draft:
            print(f'[[row]]\nop = "{op}"\nwhat = "{what}"\nclass = ""\nwhy = {json.dumps(details)}')
        else:
            print(red(f"unexplained: {op}: {what}: {'; '.join(details) or 'nothing fails'}"))
    gone = sorted(required - by_case.keys()) if whole else []
    for op, what in gone:
        print(red(f"explained, but no longer a difference: {op}: {what}"))
    print(
        f"{len(by_case)} differences, {len(by_case) - len(new)} explained, {len(new)} unexplained"
    )
    return 1 if new or gone else 0


def red(text: str) -> str:
    """Return the text in red if the output is a terminal or a CI that shows colours."""
    coloured = sys.stdout.isatty() or "FORCE_COLOR" in os.environ
    return f"\x1b[31m{text}\x1b[0m" if coloured else text


def memory() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())
