"""Which answer to "what macOS is this?" to believe. Pure, and below all rooms: several ask."""

from __future__ import annotations

import re


def choose(told_by_sysctl: str | None, told_to_python: str | None) -> str | None:
    """Return the version of macOS, as in "26.1", or None where neither answer can be true.

    ``told_by_sysctl`` is what the program sysctl prints for kern.osproductversion, ``told_to_python`` what
    `platform.mac_ver()` returns. macOS tells a program that was linked with an older SDK another version:
    10.16 for 11 and newer, 16.0 for 26 (https://github.com/python/cpython/issues/135675). Python may be
    such a program; sysctl is linked with the SDK of its system. No macOS is really called 10.16 or 16.
    """
    for answer in (told_by_sysctl, told_to_python):
        text = (answer or "").strip()
        if re.fullmatch(r"\d+(\.\d+){0,3}", text) and not re.match(r"(10\.16|16)(\.|$)", text):
            return text
    return None
