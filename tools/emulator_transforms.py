"""Compare forward-mode AD and functorch on the emulated mps with the CPU, operator by operator.

Every OpInfo of torch's test database that has forward derivatives in float32 is differentiated along a
direction (``jvp``), twice (``jvp`` of ``grad``) and mapped over a new dimension (``vmap``), on both devices.
What works on the CPU must work on the emulated device, with the same numbers, or raise the errors of a
Mac: no kernel, float64, or sizes that a kernel refuses (limits.toml). Exits with code 1 and prints a line for each
difference. A crash ends the tool.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import mps_opinfo
import torch
from emulator_opinfo import RANDOM, kind_of, red, tensors

from metalassay.mps.emulator import emulate_mps
from metalassay.mps.operators import limits

# Why an operator cannot be compared.
LEFT_OUT = {
    "as_stridedpartial_views": "the CPU gets a copy of the view, without the larger memory behind it",
    "_scaled_dot_product_flash_attention_for_cpu": "it names its device; a Mac has it neither",
}

# What differs for another reason than the errors of a Mac that are told by their kind: the OpInfo and the transform,
# a part of the error, and why.
KNOWN = {
    ("linalg.lu_solve", "vmap"): (
        "IndexError: too many indices",
        "torch's own kernel for MPS, which is Python (_apply_pivots in torch/_refs/linalg), takes no LU with more"
        " dimensions than B: so on a Mac too",
    ),
}


def samples_on(info: Any, device: str, count: int) -> list[Any]:
    """Return the first samples of an OpInfo on a device; where they need what mps lacks, those of the CPU, moved.

    What belongs on the CPU with any device, as the indices of tensor_split, stays there only in the OpInfo's own.
    """
    torch.manual_seed(0)
    try:
        return list(info.sample_inputs(device, torch.float32, requires_grad=False))[:count]
    except Exception as error:
        if device == "cpu" or kind_of(error)[0] not in ("missing", "float64"):
            raise
    return [
        sample.transform(lambda each: each.to(device) if isinstance(each, torch.Tensor) else each)
        for sample in samples_on(info, "cpu", count)
    ]


def function_of(info: Any, moved: Any) -> tuple[Callable[..., Any], torch.Tensor] | None:
    """Return a function of the first tensor of a sample, and that tensor."""
    if moved.kwargs.get("device") is not None or not isinstance(moved.input, torch.Tensor):
        return None
    if not moved.input.is_floating_point() or not moved.input.numel():
        return None

    def function(x: torch.Tensor) -> Any:
        results = [
            each
            for each in tensors(info(x, *moved.args, **moved.kwargs))
            if each.is_floating_point()
        ]
        return sum(each.sum() for each in results[1:]) + results[0].sum()

    return function, moved.input.detach()


def transformed(kind: str, function: Callable[..., Any], x: torch.Tensor) -> list[torch.Tensor]:
    """Return what a transform computes."""
    if kind == "jvp":
        return tensors(torch.func.jvp(function, (x,), (torch.ones_like(x),)))
    if kind == "jvp of grad":
        return tensors(torch.func.jvp(torch.func.grad(function), (x,), (torch.ones_like(x),)))
    return tensors(torch.func.vmap(function)(torch.stack([x, x])))


def refused(error: BaseException) -> bool:
    """Return whether an error is one that the kernels of this torch raise for some sizes."""
    release = torch.__version__.partition("+")[0]
    return str(error).startswith(tuple(limits.texts(release).values()))


def compare(info: Any, on_mps: Any, kind: str) -> str | None:
    """Return the difference between the devices for one sample, or None."""
    # The same numbers: a random generator may draw others for a device.
    sample = on_mps.transform(
        lambda each: each.detach().cpu() if isinstance(each, torch.Tensor) else each
    )
    given = function_of(info, sample)
    found = function_of(info, on_mps)
    if given is None or found is None:
        return None
    try:
        expected = transformed(kind, *given)
    except Exception:  # noqa: BLE001  (what the CPU cannot do, mps need not do)
        return None
    try:
        results = transformed(kind, *found)
    except Exception as error:  # noqa: BLE001
        reason, detail = kind_of(error)
        return None if reason in ("missing", "float64") or refused(error) else detail
    try:
        torch.testing.assert_close(
            [each.detach().cpu() for each in results],
            [each.detach() for each in expected],
            rtol=1e-4,
            atol=1e-4,
            equal_nan=True,
        )
    except AssertionError as error:
        return str(error).partition("\n")[0]
    return None


def main() -> int:
    """Run the OpInfos, compare and print; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=3, help="samples per OpInfo")
    parser.add_argument("--only", default="", help="OpInfos that match this regular expression")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    began, compared, bad = time.monotonic(), 0, 0
    with emulate_mps(quiet=True), torch.random.fork_rng(devices=[]):
        for info in mps_opinfo.float32_infos():
            name = info.name + info.variant_test_name
            if not info.supports_forward_ad or not re.search(options.only, name):
                continue
            if name in LEFT_OUT or RANDOM.search(info.name):
                continue
            for kind in ("jvp", "jvp of grad", "vmap"):
                samples = samples_on(info, "mps", options.samples)
                found = {compare(info, each, kind) for each in samples} - {None}
                compared += 1
                part, why = KNOWN.get((name, kind), ("", ""))
                if part and any(part in str(each) for each in found):
                    print(f"{name}: {kind}: {part}: {why}")
                    found = {each for each in found if part not in str(each)}
                elif part and not options.only:
                    found.add(f"no longer: {part}")
                bad += bool(found)
                if found:
                    print(red(f"{name}: {kind}: {'; '.join(sorted(map(str, found)))}"), flush=True)
    passed = time.monotonic() - began
    print(f"{compared} transforms of OpInfos, {passed:.0f} s: {bad} differ from the CPU")
    return 1 if bad or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
