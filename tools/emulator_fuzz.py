"""Call operators of the emulated mps with random arguments, and report the calls that end the process.

The calls are made in forked processes, so that a crash is seen, repeated alone, repeated on the plain CPU
and made smaller. A crash that the CPU has too is torch's own, and is listed apart. Exits with code 1 if
the emulated device alone crashes or hangs. Each call depends only on the seed and its number:
`--seed 5 --first 1234 --calls 1` makes one again.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import random
import re
import resource
import signal
import struct
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from emulator_fuzz_tensors import T

from metalassay.mps.emulator import emulate_mps

CHUNK = 200  # calls in one process
PATIENCE = 20  # seconds for one call
MEMORY = 8 << 30  # bytes of address space above what a process has as it starts
DTYPES = [
    "float32",
    "float32",
    "float32",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "uint8",
    "int8",
    "bool",
    "complex64",
]
KINDS = [
    "plain",
    "plain",
    "plain",
    "plain",
    "transposed",
    "sliced",
    "expanded",
    "offset",
    "grad",
    "parameter",
    "subclass",
    "conj",
    "neg",
    "zero",
    "sparse",
    "csr",
    "nested",
    "jagged",
    "channels_last",
    "overlapping",
    "wrapped",
    "inference",
    "functional",
]
MODES = [
    "plain",
    "plain",
    "plain",
    "plain",
    "plain",
    "backward",
    "backward",
    "jvp",
    "vmap",
    "hessian",
    "inference",
    "grad",
]
SIMPLE = "T((2,), 'float32', 'plain', DEVICE)"
TEXTS = (
    "'mean'",
    "'sum'",
    "'constant'",
    "'linear'",
    "'trunc'",
    "'none'",
    "'tanh'",
    "'ij,jk->ik'",
    "''",
)
# They end the process by design, wait for something, or write files.
SKIP = re.compile(
    r"aten::(_assert|_test_|from_file|save|wait|breakpoint|_cufft|_foobar|_print|_use_cudnn)"
)
# What each type of a schema may be. "T" makes a tensor: see emulator_fuzz_tensors.py.
ATOMS: dict[str, Callable[[random.Random], str]] = {
    "int": lambda r: repr(r.choice([-2, -1, 0, 0, 1, 1, 2, 3, 5])),
    "float": lambda r: r.choice(["0.0", "1.0", "0.5", "-1.0", "float('nan')", "float('inf')"]),
    "bool": lambda r: repr(r.random() < 0.5),
    "number": lambda r: r.choice(["0", "2", "1.5", "-1", "True", "1j"]),
    "complex": lambda r: "1j",
    "str": lambda r: r.choice(TEXTS),
    "Device": lambda r: "torch.device(DEVICE)",
    "ScalarType": lambda r: "torch." + r.choice(DTYPES),
    "Layout": lambda r: r.choice(["torch.strided", "torch.strided", "torch.sparse_coo"]),
    "MemoryFormat": lambda r: r.choice(["torch.contiguous_format", "torch.preserve_format"]),
    "Generator": lambda r: "torch.Generator(DEVICE)",
    "Storage": lambda r: f"{SIMPLE}.untyped_storage()",
}


@dataclass(frozen=True)
class Call:
    """One call as text, which can be printed, made smaller and evaluated on either device."""

    op: str
    arguments: tuple[str, ...]
    named: tuple[tuple[str, str], ...]
    mode: str

    def __str__(self) -> str:
        given = [*self.arguments, *(f"{name}={value}" for name, value in self.named)]
        return f"{self.mode}: torch.ops.{self.op}({', '.join(given)})"


def operators() -> list[Any]:
    """Return the schemas of all operators of aten whose arguments can be made up, in order."""
    found = []
    for name in sorted(torch._C._dispatch_get_all_op_names()):
        if name.startswith("aten::") and not SKIP.match(name):
            base, _, overload = name.partition(".")
            schema = torch._C._get_schema(base, overload)
            if all(
                _known(argument.type) or argument.has_default_value()
                for argument in schema.arguments
            ):
                found.append(schema)
    return found


def _known(kind: Any) -> bool:
    inner = getattr(kind, "getElementType", None)
    return _known(inner()) if inner else _name(kind) in ATOMS or _name(kind) == "Tensor"


def _name(kind: Any) -> str:
    # "SymInt" is given as an int, and enumerations are ints to the schema.
    return {"SymInt": "int", "Scalar": "number", "DeviceObjType": "Device"}.get(
        str(kind), str(kind)
    )


def make_call(seed: int, number: int, schemas: list[Any]) -> Call:
    """Return the call of that number."""
    rng = random.Random(f"{seed}:{number}")  # noqa: S311
    schema = rng.choice(schemas)
    size = tuple(
        rng.choice([0, 1, 1, 2, 2, 3, 4]) for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 4]))
    )
    dtype = rng.choice(DTYPES)

    def tensor() -> str:
        shape = (
            size
            if rng.random() < 0.7
            else tuple(rng.choice([0, 1, 2, 3]) for _ in range(rng.randint(0, 4)))
        )
        kind = dtype if rng.random() < 0.7 else rng.choice(DTYPES)
        device = "DEVICE" if rng.random() < 0.95 else "'cpu'"
        return f"T({shape}, '{kind}', '{rng.choice(KINDS)}', {device})"

    def value(kind: Any, name: str) -> str:
        text = str(kind)
        if text.startswith("Optional["):
            return "None" if rng.random() < 0.4 else value(kind.getElementType(), name)
        if text.startswith("List["):
            parts = [
                value(kind.getElementType(), "") for _ in range(rng.choice([0, 1, 1, 2, 2, 3]))
            ]
            return f"[{', '.join(parts)}]"
        if text == "Tensor":
            return tensor()
        if text == "int" and name in ("dtype", "layout", "memory_format", "device"):
            return {"dtype": ATOMS["ScalarType"], "layout": ATOMS["Layout"]}.get(
                name, ATOMS["MemoryFormat"]
            )(rng)
        return ATOMS[_name(kind)](rng)

    arguments: list[str] = []
    named: list[tuple[str, str]] = []
    for argument in schema.arguments:
        optional = argument.has_default_value()
        left_out = not _known(argument.type) or (optional and rng.random() < 0.5)
        if left_out and optional:
            continue
        if (
            argument.kwarg_only
            or named
            or (optional and len(arguments) < _position(schema, argument))
        ):
            named.append((argument.name, value(argument.type, argument.name)))
        else:
            arguments.append(value(argument.type, argument.name))
    name = schema.name.replace("::", ".") + "." + (schema.overload_name or "default")
    return Call(name, tuple(arguments), tuple(named), rng.choice(MODES))


def _position(schema: Any, argument: Any) -> int:
    return [each.name for each in schema.arguments].index(argument.name)


def perform(call: Call, device: str) -> None:
    """Make the call and look at its results; raises whatever it raises."""
    names = {"torch": torch, "T": T, "DEVICE": device, "float": float}
    values = [eval(text, names) for text in call.arguments]  # noqa: S307  (our own texts)
    named = {name: eval(text, names) for name, text in call.named}  # noqa: S307
    namespace, base, overload = call.op.split(".")
    op = getattr(getattr(getattr(torch.ops, namespace), base), overload)

    def function(tensor: torch.Tensor) -> Any:
        given = [tensor if each is first else each for each in values]
        return total(op(*given, **named))

    first = next((each for each in values if isinstance(each, torch.Tensor)), None)
    if first is None or call.mode == "plain":
        look(op(*values, **named))
    elif call.mode == "inference":
        with torch.inference_mode():
            look(op(*values, **named))
    elif call.mode == "backward":
        first.requires_grad_()
        function(first).backward()
        look(first.grad)
    elif call.mode == "grad":
        look(torch.func.grad(function)(first))
    elif call.mode == "jvp":
        look(torch.func.jvp(function, (first,), (torch.ones_like(first),)))
    elif call.mode == "vmap":
        look(torch.func.vmap(function)(torch.stack([first, first])))
    else:
        look(torch.func.hessian(function)(first))


def tensors(result: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in a result."""
    if isinstance(result, torch.Tensor):
        yield result
    elif isinstance(result, (list, tuple)):
        for each in result:
            yield from tensors(each)


def total(result: Any) -> torch.Tensor:
    """Return the sum of everything in a result, to be differentiated."""
    sums = [each.sum() for each in tensors(result)]
    return sum(sums[1:], sums[0])


def look(result: Any) -> None:
    """Read all elements of a result: memory that is not there shows only now."""
    for each in tensors(result):
        repr(each)
        if each.numel() < 100_000:
            each.detach().cpu().clone()


def outcome(action: Callable[[], None], patience: float = PATIENCE) -> str:
    """Return "fine", the name of the signal that ended a forked process, or its exit code."""
    pid = os.fork()
    if pid == 0:
        _begin_child()
        signal.alarm(int(patience))
        with contextlib.suppress(Exception):  # which is what a wrong call deserves
            action()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return _ended(status)


def _ended(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "hang" if number == signal.SIGALRM else signal.Signals(number).name
    code = os.WEXITSTATUS(status)
    return "fine" if code == 0 else f"exit {code}"


def _begin_child() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    os.dup2(quiet, 1)


def run_chunk(calls: list[Call], device: str) -> tuple[int, int, str]:
    """Make calls in one process; return how many began, how many raised nothing, and how it ended."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _begin_child()
        returned = 0
        for number, call in enumerate(calls):
            os.write(writer, struct.pack("II", number + 1, returned))
            signal.alarm(PATIENCE)
            with contextlib.suppress(Exception):
                perform(call, device)
                returned += 1
        os.write(writer, struct.pack("II", len(calls), returned))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(pid, 0)
    begun, returned = struct.unpack("II", data[-8:]) if data else (0, 0)
    return begun, returned, _ended(status)


def smaller(call: Call, fails: Callable[[Call], bool]) -> Call:
    """Return a call with less in it that still crashes."""
    shrunk = True
    while shrunk:
        shrunk = False
        for candidate in _candidates(call):
            if candidate != call and fails(candidate):
                call, shrunk = candidate, True
                break
    return call


def _candidates(call: Call) -> Iterator[Call]:
    yield replace(call, mode="plain")
    for place in range(len(call.named)):
        yield replace(call, named=call.named[:place] + call.named[place + 1 :])
    for place, text in enumerate(call.arguments):
        simpler = (
            [SIMPLE] if text.startswith("T(") else ["0", "1"] if text.lstrip("-").isdigit() else []
        )
        simpler += [
            re.sub(r"'(?!plain|float|int|uint|bfloat|bool|complex|cpu)\w+'", "'plain'", text)
        ]
        for each in simpler:
            if text != SIMPLE:
                yield replace(
                    call, arguments=(*call.arguments[:place], each, *call.arguments[place + 1 :])
                )


@dataclass
class Found:
    """A call that ended a process: alone on the emulated device, and alone on the CPU."""

    number: int
    call: Call
    emulated: str
    cpu: str

    @property
    def ours(self) -> bool:
        """Whether only the emulated device does so."""
        return self.emulated != "fine" and self.cpu == "fine"


def crashes(call: Call) -> bool:
    """Return whether the call alone crashes the emulated device; hangs take too long to be made smaller."""
    return outcome(functools.partial(perform, call, "mps")) not in ("fine", "hang")


def fuzz(seed: int, first: int, count: int, schemas: list[Any]) -> tuple[list[Found], int]:
    """Make the calls; return what was found and how many calls returned without an error."""
    found: list[Found] = []
    number, returned, began = first, 0, time.monotonic()
    while number < first + count:
        calls = [
            make_call(seed, each, schemas)
            for each in range(number, min(number + CHUNK, first + count))
        ]
        begun, fine, ended = run_chunk(calls, "mps")
        returned += fine
        if ended == "fine":
            number += len(calls)
        else:
            bad = calls[begun - 1]
            emulated = outcome(functools.partial(perform, bad, "mps"))
            cpu = outcome(functools.partial(perform, bad, "cpu"))
            found.append(Found(number + begun - 1, bad, emulated, cpu))
            number += begun
            print(f"{number - 1}: {ended} (alone {emulated}, CPU {cpu}): {bad}", file=sys.stderr)
        if number % 10_000 < CHUNK:
            passed = time.monotonic() - began
            print(f"{number - first} calls, {passed:.0f} s, {len(found)} ended", file=sys.stderr)
    return found, returned


def main() -> int:
    """Run, print and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first call")
    parser.add_argument("--only", default="", help="operators that match this regular expression")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with emulate_mps(quiet=True), tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        schemas = [each for each in operators() if re.search(options.only, each.name)]
        print(f"{len(schemas)} operators, seed {options.seed}", flush=True)
        found, returned = fuzz(options.seed, options.first, options.calls, schemas)
        ours = [each for each in found if each.ours]
        for each in ours:
            call = smaller(each.call, crashes)
            print(
                f"{each.emulated}, call {each.number}: {each.call}\n  smaller: {call}", flush=True
            )
        os.chdir(os.sep)
    theirs = sorted({each.call.op for each in found if each.emulated != "fine" and not each.ours})
    later = [each for each in found if each.emulated == "fine"]
    print(f"{options.calls} calls, {returned} returned, {len(found)} ended a process:")
    print(f"  {len(ours)} only on the emulated device")
    print(f"  {len(found) - len(ours) - len(later)} also on the CPU: {', '.join(theirs)}")
    print(
        f"  {len(later)} only after others, not alone: memory that an earlier call has overwritten"
    )
    return 1 if ours else 0


if __name__ == "__main__":
    sys.exit(main())
