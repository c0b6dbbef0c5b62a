"""Read from ``libtorch_cpu.dylib`` which kernels it registers for the MPS backend when it is loaded.

PyTorch's macros turn every ``TORCH_LIBRARY_IMPL(aten, MPS, m)`` block into a function whose symbol
names the library and the backend; the wheels keep these symbols. Each ``m.impl(name, kernel)`` in it is a
call of ``torch::Library::_impl`` with the name in register x1 (the arm64 calling convention).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from metalassay.errors import UserError
from wheel_reader.macho import Library

_BLOCK = re.compile(rb"(.*)TORCH_LIBRARY_IMPL_init_aten_(MPS|SparseMPS)_\d+ERN5torch7LibraryE")
_IMPL = b"__ZNR5torch7Library5_implEPKc"
_FALLBACK = b"mps_fallback"
# RegisterMPS*.cpp, which torchgen writes, and some hand-written files have their blocks in the unnamed
# namespace of `at`; ATen/mps/MPSFallback.mm in `at` itself, and BitwiseOps.mm (2.0) outside of it.
_GENERATED = re.compile(rb"__ZN2at12_GLOBAL__N_1\d+")


@dataclass(frozen=True)
class Registrations:
    """The names of overloads, without ``aten::``, by what is registered for them.

    ``generated``: kernels from torchgen's code. ``by_hand``: kernels from other code.
    ``fallbacks``: operators that are always sent to the CPU. ``sparse``: SparseMPS kernels.
    """

    generated: frozenset[str]
    by_hand: frozenset[str]
    fallbacks: frozenset[str]
    sparse: frozenset[str]


def read(path: Path) -> Registrations:
    """Read a macOS arm64 ``libtorch_cpu.dylib``.

    Raises ``UserError`` if it is not such a library, or if a registration cannot be decoded: the oracle
    would otherwise report an existing kernel as missing.
    """
    library = Library(path)
    try:
        return _read(library)
    finally:
        library.close()


def _read(library: Library) -> Registrations:
    kernels: dict[str, set[str]] = {"generated": set(), "by_hand": set(), "fallback": set()}
    sparse: set[str] = set()
    for address, symbol in library.symbols.items():
        if not (match := _BLOCK.fullmatch(symbol)):
            continue
        registered = _block(library, address)
        if match[2] == b"SparseMPS":
            sparse |= registered.keys()
        else:
            source = "generated" if _GENERATED.fullmatch(match[1]) else "by_hand"
            for name, fallback in registered.items():
                kernels["fallback" if fallback else source].add(name)
    if not kernels["generated"]:
        raise UserError(
            "the library registers no MPS kernels, or its symbols are stripped",
            "use the libtorch_cpu.dylib of a macosx arm64 wheel",
        )
    return Registrations(
        generated=frozenset(kernels["generated"]),
        by_hand=frozenset(kernels["by_hand"]),
        fallbacks=frozenset(kernels["fallback"]),
        sparse=frozenset(sparse),
    )


def _block(library: Library, address: int) -> dict[str, bool]:
    """Return the names that one block registers, and for each whether it is the CPU fallback.

    A compiler may load the fallback's address once and use it for several registrations. One that
    loads no function itself therefore uses the fallback if an earlier one loaded it.
    """
    registered: dict[str, bool] = {}
    fallback_loaded = False
    functions: list[bytes] = []
    for call in library.calls(address):
        functions += [library.symbols[at] for at in call.loaded if at in library.symbols]
        callee = library.symbols.get(call.target, b"")
        if not callee.startswith(_IMPL):
            functions += [callee] if _FALLBACK in callee else []
            continue
        name = library.string_at(call.registers.get(1, -1))
        if name is None:
            symbol = library.symbols[address].decode()
            raise UserError(
                f"{symbol}: the name of registration {len(registered) + 1} cannot be read",
                "the compiler emits new code, which tools/wheel_reader/macho.py must support",
            )
        loads_fallback = any(_FALLBACK in function for function in functions)
        fallback_loaded |= loads_fallback
        registered[name.removeprefix("aten::")] = loads_fallback or (
            fallback_loaded and not functions
        )
        functions = []
    return registered
