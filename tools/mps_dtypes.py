"""Write src/metalassay/mps/operators/dtypes.json: what PyTorch's own tests expect on MPS, by dtype.

    python tools/mps_dtypes.py --wheels DIR          read the lists in the macOS wheels since torch 2.8
    python tools/mps_dtypes.py --wheels DIR --check  write nothing; exit with code 1 if the file would change
    python tools/mps_dtypes.py --record              first record again which kernels an OpInfo calls

The lists name OpInfos, and a program calls kernels. opinfo_calls.json says which kernels the samples of
each OpInfo call with which dtype; it is recorded on the emulated device (a CPU build of torch and
expecttest; minutes). A kernel is said to refuse a dtype if an OpInfo that calls it with that dtype is
expected to fail, and none that does so is expected to pass. Nothing in a wheel is executed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import sys
import tempfile
import tomllib
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import oracle as oracle_tool
from packaging.version import Version
from wheel_reader import expectations
from wheel_reader.expectations import ALL, Lists

from metalassay.errors import UserError
from metalassay.files import write_atomically
from metalassay.mps.operators.dtypes import NAMES, SCHEMA

TARGET = oracle_tool.OPERATORS / "dtypes.json"
RECORDED = Path(__file__).with_name("opinfo_calls.json")
FIRST = Version("2.8")
_COMPLEX = ("complex32", "complex64")
_FLOATS = ("float32", "float16", "bfloat16")

Calls = Mapping[str, Mapping[str, Any]]


def state(lists: Lists, opinfo: str, dtype: str, *, decorated: bool = False) -> str:
    """Return "fails", "open" (not tested, or only its numbers or some macOS releases fail) or "passes".

    With ``decorated``, what the OpInfo itself expects counts as well. That says less about a kernel than the
    lists do: the test that is expected to fail calls the CPU too, whose kernel is often the one that lacks.
    """
    if _in(lists.fails, opinfo, dtype) or (decorated and _in(lists.decorated, opinfo, dtype)):
        return "fails"
    if any(
        _in(group, opinfo, dtype) for group in (lists.numbers, lists.skipped, *lists.macos.values())
    ):
        return "open"
    if dtype in _COMPLEX:
        # What is wrong in other dtypes too is expected to fail here for that reason.
        if opinfo in lists.numbers or opinfo in lists.skipped:
            return "open"
        if lists.complex_supported is not None and opinfo not in lists.complex_supported:
            return "fails"
        if lists.complex_unsupported is not None and opinfo in lists.complex_unsupported:
            return "fails"
    return "passes"


def _in(group: Mapping[str, tuple[str, ...]], opinfo: str, dtype: str) -> bool:
    dtypes = group.get(opinfo, ())
    return dtype in dtypes or ALL in dtypes


def refusals(lists: Lists, recorded: Calls) -> dict[str, dict[str, str]]:
    """Return, by kernel and dtype, the OpInfo whose expected failure a kernel explains.

    Of several kernels that could explain a failure, one with the operator's name is taken, else the one
    that explains most failures: refusing them all would refuse innocent ones. A failure that the test has
    only because it compares with the CPU, which returns float64, is no refusal.
    """
    innocent: set[tuple[str, str]] = set()
    failing: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for opinfo, entry in recorded.items():
        for dtype in entry["dtypes"].split():
            called = {
                (kernel, dtype)
                for kernel, dtypes in entry["calls"].items()
                if dtype in dtypes.split()
            }
            found = state(lists, opinfo, dtype)
            if found == "passes":
                innocent |= called
            # A kernel takes float32 and rounds; where these are listed, a shape or a number is the reason.
            elif (
                found == "fails"
                and dtype not in _FLOATS
                and dtype not in entry.get("missing", "").split()
                and dtype not in entry.get("double", "").split()
            ):
                failing[opinfo, dtype] = called
    refused: dict[str, dict[str, str]] = defaultdict(dict)
    open_pairs = {pair: called - innocent for pair, called in failing.items()}
    for (opinfo, dtype), called in sorted(open_pairs.items()):
        name = _plain(recorded[opinfo].get("name", opinfo))
        own = [kernel for kernel, _ in called if _base(kernel).startswith(name)]
        if own:
            # `nll_loss_forward` before `nll_loss2d_forward`.
            refused[min(own, key=lambda each: (len(each), each))].setdefault(dtype, opinfo)
    left = {
        pair: called
        for pair, called in open_pairs.items()
        # Nearly every operator is listed for complex numbers at first, with kernels that are innocent.
        if called
        and pair[1] not in _COMPLEX
        and not any(dtype in refused.get(kernel, {}) for kernel, dtype in called)
    }
    while left:
        counts: dict[tuple[str, str], int] = defaultdict(int)
        for called in left.values():
            for each in called:
                counts[each] += 1
        kernel, dtype = min(counts, key=lambda each: (-counts[each], each))
        explained = sorted(pair for pair, called in left.items() if (kernel, dtype) in called)
        refused[kernel][dtype] = explained[0][0]
        left = {pair: called for pair, called in left.items() if pair not in explained}
    return {kernel: dict(sorted(dtypes.items())) for kernel, dtypes in sorted(refused.items())}


def _base(kernel: str) -> str:
    return kernel.partition(".")[0].strip("_")


def _plain(opinfo: str) -> str:
    return opinfo.removeprefix("nn.functional.").replace(".", "_").strip("_")


def taken(lists: Lists, recorded: Calls) -> dict[str, str]:
    """Return the dtypes that the CPU has no kernel for, where an OpInfo is expected to pass on MPS."""
    found: dict[str, set[str]] = defaultdict(set)
    for opinfo, entry in recorded.items():
        for kernel, dtypes in entry.get("cpu_lacks", {}).items():
            found[kernel] |= {
                each for each in dtypes.split() if state(lists, opinfo, each) == "passes"
            }
    return {kernel: " ".join(sorted(dtypes)) for kernel, dtypes in sorted(found.items()) if dtypes}


def record() -> dict[str, Any]:
    """Run every OpInfo on the emulated device; return its kernels, and what they are called with."""
    import torch
    from torch.testing._internal.common_methods_invocations import op_db

    from metalassay.mps.emulator import build, session

    warnings.simplefilter("ignore")
    results: dict[str, Any] = {}
    double: set[str] = set()
    infos: list[Any] = list(op_db)
    with contextlib.ExitStack() as stack:
        session.start(stack, quiet=True, record=True)
        native = build.load()
        for info in infos:
            if info.name.startswith("jiterator"):  # only for CUDA
                continue
            noted: dict[str, list[str]] = {}
            missing = []
            for dtype in (getattr(torch, name) for name in NAMES.values()):
                if dtype not in info.supported_dtypes("mps"):
                    continue
                name = str(dtype).removeprefix("torch.")
                torch.manual_seed(0)
                samples: list[Any] = []
                with contextlib.suppress(RuntimeError, TypeError, ValueError):
                    samples = list(info.sample_inputs("mps", dtype))
                native.recorded()
                for sample in samples:
                    try:
                        info(sample.input, *sample.args, **sample.kwargs)
                    except NotImplementedError as error:
                        if "not currently implemented for the MPS" in str(error):
                            missing.append(name)
                    except (RuntimeError, TypeError, ValueError, IndexError):
                        continue
                noted[name] = native.recorded()
                double |= {
                    line.removeprefix("aten::").partition(" ")[0]
                    for line in noted[name]
                    if line.endswith(" cpu-double")
                }
            results[info.name + info.variant_test_name] = entry(info.name, noted, missing)
    return {
        "torch": torch.__version__.partition("+")[0],
        "double_on_cpu": sorted(double),
        "opinfos": dict(sorted(results.items())),
    }


def entry(name: str, noted: Mapping[str, Sequence[str]], missing: Sequence[str]) -> dict[str, Any]:
    """Return one OpInfo of opinfo_calls.json, from the kernels that were noted for each dtype.

    ``name`` is the operator's, without the variant that the OpInfo's key ends in.
    """
    calls: dict[str, list[str]] = defaultdict(list)
    lacks: dict[str, list[str]] = defaultdict(list)
    double: set[str] = set()
    for dtype, lines in noted.items():
        for line in lines:
            kernel, called_with, *remark = line.removeprefix("aten::").split(" ")
            # With another dtype than the sample's, the call says nothing about the sample's.
            if NAMES.get(called_with) == dtype:
                if "cpu-double" in remark:
                    double.add(dtype)
                else:
                    (lacks if remark else calls)[kernel].append(dtype)
    return {
        "name": name,
        "dtypes": " ".join(sorted(noted)),
        "calls": {kernel: " ".join(sorted(calls[kernel])) for kernel in sorted(calls)},
        **({"cpu_lacks": {k: " ".join(sorted(lacks[k])) for k in sorted(lacks)}} if lacks else {}),
        **({"double": " ".join(sorted(double))} if double else {}),
        **({"missing": " ".join(sorted(set(missing)))} if missing else {}),
    }


def content(wheels: Mapping[str, Path], recorded: Mapping[str, Any]) -> str:
    """Return the text of dtypes.json."""
    releases = {}
    for version, wheel in wheels.items():
        lists = expectations.read(wheel)
        releases[version] = {
            "wheel": wheel.name,
            "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
            "fails": _joined(lists.fails),
            "numbers": _joined(lists.numbers),
            "macos": {macos: _joined(group) for macos, group in sorted(lists.macos.items())},
            "gradient": _joined(lists.gradient),
            "skipped": _joined(lists.skipped),
            "decorated": _joined(lists.decorated),
            "takes": _joined(lists.takes),
            "complex_supported": " ".join(lists.complex_supported or ()),
            "complex_unsupported": " ".join(lists.complex_unsupported or ()),
            "refused": refusals(lists, recorded["opinfos"]),
            "taken": taken(lists, recorded["opinfos"]),
        }
    opinfos = {
        name: " ".join(each["calls"]) for name, each in recorded["opinfos"].items() if each["calls"]
    }
    top = {
        "schema": SCHEMA,
        "recorded_with": recorded["torch"],
        "double_on_cpu": sorted(recorded["double_on_cpu"]),
        "opinfos": opinfos,
    }
    return json.dumps({**top, "releases": releases}, indent=1) + "\n"


def _joined(group: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    return {name: " ".join(group[name]) for name in sorted(group)}


def shipped(version: str) -> Lists:
    """Return the lists of a release from dtypes.json, as ``expectations.read`` reads them."""
    release = json.loads(TARGET.read_text("utf-8"))["releases"][version]
    groups = ("fails", "numbers", "gradient", "skipped", "decorated", "takes")
    return Lists(
        **{name: _split(release[name]) for name in groups},
        macos={macos: _split(group) for macos, group in release["macos"].items()},
        complex_supported=tuple(release["complex_supported"].split()) or None,
        complex_unsupported=tuple(release["complex_unsupported"].split()) or None,
    )


def _split(group: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(dtypes.split()) for name, dtypes in group.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, and write or compare the file; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    parser.add_argument("--record", action="store_true", help="record opinfo_calls.json again")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="keep the wheels in DIR")
    options = parser.parse_args(arguments)
    if options.record:
        write_atomically(RECORDED, json.dumps(record(), indent=0) + "\n")
    recorded = json.loads(RECORDED.read_text("utf-8"))
    config = tomllib.loads(oracle_tool.VERSIONS.read_text("utf-8"))
    with tempfile.TemporaryDirectory(prefix="metalassay-wheels-") as temporary:
        folder = options.wheels or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        wheels = {
            version: oracle_tool.download(version, config, folder)
            for version in config["versions"]
            if Version(version) >= FIRST
        }
        text = content(wheels, recorded)
    same = TARGET.exists() and TARGET.read_text("utf-8") == text
    if not same and not options.check:
        write_atomically(TARGET, text)
    print(f"{TARGET.name}: {'unchanged' if same else 'differs' if options.check else 'written'}")
    return int(options.check and not same)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"mps_dtypes: {error.message}\n  next: {error.next_step}", file=sys.stderr)
        sys.exit(error.exit_code)
