"""Read the parts of an arm64 Mach-O library that we need: symbols, strings and four instructions.

References: ``mach-o/loader.h`` and ``mach-o/nlist.h`` of Apple's SDK for the file; the Arm Architecture
Reference Manual, C6.2 (ADR, ADRP, ADD immediate, BL) for the instructions.
"""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metalassay.errors import UserError

_MAGIC_64, _CPU_ARM64 = 0xFEEDFACF, 0x0100000C
_LC_SYMTAB, _LC_SEGMENT_64 = 0x2, 0x19
_N_STAB, _N_TYPE, _N_SECT = 0xE0, 0x0E, 0x0E


@dataclass(frozen=True)
class Section:
    """A section's ``address`` in memory, ``size`` in bytes and ``offset`` in the file."""

    segment: str
    name: str
    address: int
    size: int
    offset: int


@dataclass(frozen=True)
class Call:
    """A BL instruction: its target, and the addresses in the registers when it is executed.

    ``registers`` maps the number of a register to an address loaded by ADR, or by ADRP and ADD. The
    registers that a call may change (x0 to x18) are dropped after it.
    """

    target: int
    registers: dict[int, int]
    loaded: tuple[int, ...]
    """The addresses loaded since the previous call, in order, even if a register was reused."""


class Library:
    """An open Mach-O file. Raises ``UserError`` if it is not a 64-bit arm64 file with symbols."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream:
            header = stream.read(32)
            if header[:8] != struct.pack("<2I", _MAGIC_64, _CPU_ARM64) or len(header) < 32:
                raise UserError(
                    f"{path.name} is not a 64-bit Mach-O file for arm64", "use a macosx arm64 wheel"
                )
            self._data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        (commands,) = struct.unpack_from("<I", header, 16)
        self._sections: list[Section] = []
        symtab: tuple[int, int, int, int] | None = None
        at = 32
        for _ in range(commands):
            command, size = struct.unpack_from("<2I", self._data, at)
            if command == _LC_SEGMENT_64:
                self._sections += self._read_sections(at)
            elif command == _LC_SYMTAB:
                symtab = struct.unpack_from("<4I", self._data, at + 8)
            at += size
        if symtab is None:
            raise UserError(f"{path.name} has no symbol table", "use an unstripped library")
        self.symbols = self._read_symbols(*symtab)
        self._addresses = sorted(self.symbols)

    def _read_sections(self, command: int) -> Iterator[Section]:
        (count,) = struct.unpack_from("<I", self._data, command + 64)
        for index in range(count):
            name, segment, address, size, offset = struct.unpack_from(
                "<16s16sQQI", self._data, command + 72 + 80 * index
            )
            yield Section(_text(segment), _text(name), address, size, offset)

    def _read_symbols(self, at: int, count: int, strings: int, size: int) -> dict[int, bytes]:
        """Return the mangled names of the symbols defined in this file, by address."""
        table = self._data[strings : strings + size]
        names: dict[int, bytes] = {}
        entries = struct.iter_unpack("<IBBHQ", self._data[at : at + 16 * count])
        for name, kind, _, _, address in entries:
            if not kind & _N_STAB and kind & _N_TYPE == _N_SECT:
                names.setdefault(address, table[name : table.index(b"\0", name)])
        return names

    def close(self) -> None:
        """Close the file."""
        self._data.close()

    def section(self, name: str) -> Section:
        """Return a section of ``__TEXT`` by its name, such as ``__text``."""
        return next(
            section
            for section in self._sections
            if (section.segment, section.name) == ("__TEXT", name)
        )

    def content(self, section: Section) -> bytes:
        """Return the bytes of a section."""
        return self._data[section.offset : section.offset + section.size]

    def string_at(self, address: int) -> str | None:
        """Return the C string at an address in ``__TEXT,__cstring``; None for other addresses."""
        for section in self._sections:
            if section.name == "__cstring" and 0 <= address - section.address < section.size:
                at = section.offset + address - section.address
                return self._data[at : self._data.find(b"\0", at)].decode()
        return None

    def calls(self, function: int) -> Iterator[Call]:
        """Yield the calls of a function in order, from its address to the next symbol.

        Branches are not followed: a call on one path only is yielded like any other.
        """
        registers: dict[int, int] = {}
        loaded: list[int] = []
        for address, word in self._words(function):
            target = word & 0x1F
            if word & 0x1F000000 == 0x10000000:  # ADR, and ADRP where the top bit is set
                offset = _signed((word >> 3 & 0x1FFFFC) | (word >> 29 & 3), 21)
                page = word >> 31
                registers[target] = (
                    (address & ~0xFFF) + (offset << 12) if page else address + offset
                )
                if not page:
                    loaded.append(registers[target])
            elif word & 0xFF800000 == 0x91000000:  # ADD (immediate), 64 bits
                source, amount = word >> 5 & 0x1F, (word >> 10 & 0xFFF) << (12 * (word >> 22 & 1))
                if source in registers:
                    registers[target] = registers[source] + amount
                    loaded.append(registers[target])
                else:
                    registers.pop(target, None)
            elif word & 0xFC000000 == 0x94000000:  # BL
                callee = address + (_signed(word & 0x3FFFFFF, 26) << 2)
                yield Call(callee, dict(registers), tuple(loaded))
                registers = {number: at for number, at in registers.items() if number > 18}
                loaded = []

    def _words(self, function: int) -> Iterator[tuple[int, int]]:
        """Yield the addresses and instructions of a function, which ends at the next symbol."""
        section = next(
            section for section in self._sections if 0 <= function - section.address < section.size
        )
        following = bisect_right(self._addresses, function)
        end = section.address + section.size
        if following < len(self._addresses):
            end = min(end, self._addresses[following])
        begin = section.offset + function - section.address
        words = struct.iter_unpack("<I", self._data[begin : begin + (end - function) // 4 * 4])
        for index, (word,) in enumerate(words):
            yield function + 4 * index, word


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode()


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value
