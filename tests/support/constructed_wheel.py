"""A constructed wheel of torch: a Mach-O library with a few functions, written by Apple's ``loader.h``
and Arm's manual, and a stand-in for torchgen with a dozen operators."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

TEXT = 0x4000  # the address of the section __text; in the file it is at 0x400
STRINGS = 0x9000
IMPL = "__ZNR5torch7Library5_implEPKcONS_11CppFunctionENS_17_RegisterOrVerifyE"
GENERATED = "__ZN2at12_GLOBAL__N_134TORCH_LIBRARY_IMPL_init_aten_MPS_1ERN5torch7LibraryE"
BY_HAND = "__ZN2atL34TORCH_LIBRARY_IMPL_init_aten_MPS_2ERN5torch7LibraryE"
SPARSE = "__ZN2at12_GLOBAL__N_140TORCH_LIBRARY_IMPL_init_aten_SparseMPS_3ERN5torch7LibraryE"
FALLBACK = "__ZN3c1011BoxedKernel19make_boxed_functionIXadL_ZN2at12mps_fallbackEEEv"
MAKE_FALLBACK = "__ZN5torch11CppFunction21makeFromBoxedFunctionIXadL_ZN2at12mps_fallbackEEES0_v"
KERNEL = "__ZN2atL23slow_conv2d_forward_mpsERKNS_6TensorE"

Step = tuple[str, int, str]  # ("load" or "near", register, target) or ("call", 0, symbol)


def load(register: int, what: str) -> Step:
    """Load the address of a string or a symbol with ADRP and ADD."""
    return ("load", register, what)


def near(register: int, what: str) -> Step:
    """Load an address that is less than 1 MB away with ADR."""
    return ("near", register, what)


def call(symbol: str) -> Step:
    return ("call", 0, symbol)


def impl(name: str) -> list[Step]:
    """Call ``m.impl(name, …)``; the kernel is the one loaded before."""
    return [load(1, name), call(IMPL)]


def adr(address: int, register: int, goal: int, page: bool) -> int:
    offset = (goal >> 12) - (address >> 12) if page else goal - address
    return page << 31 | (offset & 3) << 29 | 0x10 << 24 | (offset >> 2 & 0x7FFFF) << 5 | register


def library(functions: dict[str, list[Step]], magic: int = 0xFEEDFACF) -> bytes:
    """Return a Mach-O file with these functions, each ended by RET, and the strings that they load."""
    names = [IMPL, *functions, FALLBACK, MAKE_FALLBACK, KERNEL]
    sizes = {"load": 2, "near": 1, "call": 1}
    addresses, at = {}, TEXT
    for name in names:
        addresses[name] = at
        at += 4 * (1 + sum(sizes[step[0]] for step in functions.get(name, [])))
    strings, pool = {}, b""
    for _, _, what in (step for steps in functions.values() for step in steps):
        if what not in addresses and what not in strings:
            strings[what] = STRINGS + len(pool)
            pool += what.encode() + b"\0"
    words: list[int] = []
    for name in names:
        for kind, register, what in functions.get(name, []):
            here, goal = TEXT + 4 * len(words), addresses.get(what) or strings[what]
            if kind == "call":
                words.append(0x94000000 | ((goal - here) >> 2 & 0x3FFFFFF))
            else:
                words.append(adr(here, register, goal, page=kind == "load"))
                if kind == "load":
                    words.append(0x91000000 | (goal & 0xFFF) << 10 | register << 5 | register)
        words.append(0xD65F03C0)
    code = struct.pack(f"<{len(words)}I", *words)
    cstring_at = 0x400 + len(code)
    symbols_at = cstring_at + len(pool)
    table, entries = b"\0", b""
    for name, address in addresses.items():
        entries += struct.pack("<IBBHQ", len(table), 0x0E, 1, 0, address)
        table += name.encode() + b"\0"
    # As in real files: a debugging entry, here inside a function, and a symbol of another library.
    entries += struct.pack("<IBBHQ", 0, 0x2E, 1, 0, TEXT + 8)
    entries += struct.pack("<IBBHQ", 0, 0x01, 0, 0, 0)
    sections = b"".join(
        struct.pack("<16s16sQQ8I", name, b"__TEXT", address, size, offset, *[0] * 7)
        for name, address, size, offset in (
            (b"__text", TEXT, len(code), 0x400),
            (b"__cstring", STRINGS, len(pool), cstring_at),
        )
    )
    segment = struct.pack("<2I16s4Q4I", 0x19, 72 + len(sections), b"__TEXT", 0, 0, 0, 0, 0, 0, 2, 0)
    symtab = struct.pack(
        "<6I", 2, 24, symbols_at, len(entries) // 16, symbols_at + len(entries), len(table)
    )
    commands = segment + sections + symtab
    header = struct.pack("<8I", magic, 0x0100000C, 0, 6, 2, len(commands), 0, 0)
    return (header + commands).ljust(0x400, b"\0") + code + pool + entries + table


FUNCTIONS = {
    GENERATED: [*impl("abs.out"), *impl("aten::abs"), near(1, "add.Tensor"), call(IMPL)],
    BY_HAND: [
        # Like newer compilers: the fallback's address is loaded once, into a register that calls preserve.
        load(21, FALLBACK),
        *impl("embedding_renorm_"),
        *impl("linalg_svd"),
        load(1, KERNEL),
        *impl("_slow_conv2d_forward"),
        *impl("col2im"),
    ],
    # Like older compilers: a call that makes the fallback.
    BY_HAND.replace("MPS_2", "MPS_4"): [call(MAKE_FALLBACK), *impl("sgn.out")],
    SPARSE: impl("abs.out"),
}


TORCHGEN = """
from types import SimpleNamespace as Is

def parse_native_yaml(path, tags_path):
    open(tags_path).close()
    functions, indices = [], {"CPU": {}, "MPS": {}, "SparseMPS": {}}
    for line in open(path).read().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        delegate = next((word[2:] for word in words if word.startswith("->")), None)
        functions.append(Is(
            func=Is(name=name),
            structured_delegate=delegate,
            has_composite_explicit_autograd_kernel="cea" in words,
            has_composite_implicit_autograd_kernel="cia" in words,
            has_composite_explicit_autograd_non_functional_kernel="nonfunctional" in words,
        ))
        for key in set(words) & set(indices):
            indices[key][name] = None
    indices = {key: Is(index=index) for key, index in indices.items()}
    return Is(native_functions=functions, backend_indices=indices)
"""
YAML = """\
abs: ->abs.out
abs.out: CPU MPS SparseMPS
add.Tensor: CPU MPS
all.dims: cea ->all.dims_out
all.dims_out: CPU
matmul: cia
diag_embed: nonfunctional
mode: CPU
mode.values: cea
special_airy_ai: ->special_airy_ai.out
special_airy_ai.out: CPU
cudnn_convolution: CUDA
col2im: CPU
embedding_renorm_: CPU
linalg_svd: cia
sgn: ->sgn.out
sgn.out: CPU
_slow_conv2d_forward: CPU
native_group_norm: cea CPU
linalg_lu_solve: ->linalg_lu_solve.out
linalg_lu_solve.out: CPU
"""
FILES = {
    "torchgen/__init__.py": "",
    "torchgen/gen.py": TORCHGEN,
    "torchgen/packaged/ATen/native/native_functions.yaml": YAML,
    "torchgen/packaged/ATen/native/tags.yaml": "",
    "torch/version.py": "__version__ = '9.9.0'\ngit_version = 'abc123'\n",
    "torch/backends/mps/__init__.py": (
        '_lib = Library("aten", "IMPL")\n_lib.impl("native_group_norm", kernel, "MPS")\n'
        '_lib.impl("mode", kernel, "CUDA")\n'
    ),
    "torch/_refs/linalg/__init__.py": (
        'mps_lib = Library("aten", "IMPL", "MPS")\n'
        'mps_lib.impl("aten::linalg_lu_solve.out", kernel)\n'
        'other = Library("aten", "IMPL", "CUDA")\nother.impl("aten::mode", kernel)\n'
    ),
}


def wheel(folder: Path, files: dict[str, str] | None = None, version: str = "9.9.0") -> Path:
    path = folder / f"torch-{version}-cp311-cp311-macosx_14_0_arm64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**FILES, **(files or {})}.items():
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.writestr(zipfile.ZipInfo("torch/lib/libtorch_cpu.dylib"), library(FUNCTIONS))
    return path
