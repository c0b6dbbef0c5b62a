"""What the MPS backend of each torch release says, read from the strings of its macOS wheels.

``{}`` stands for the name of the operator, ``aten::mode`` say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.version import Version

from metalassay.errors import UserError

VARIABLE = "PYTORCH_ENABLE_MPS_FALLBACK"

_HEAD = " operator '{}' is not currently implemented for the MPS device. If you want this op to be "
_TAIL = (
    ". As a temporary fix, you can set the environment variable `PYTORCH_ENABLE_MPS_FALLBACK=1` to"
    " use the CPU as a fallback for this op. WARNING: this will be slower than running natively on"
    " MPS."
)
_OLD_PLACE = (
    "added in priority during the prototype phase of this feature, please comment on"
    " https://github.com/pytorch/pytorch/issues/77764"
)
_PLACE = (
    "considered for addition please comment on https://github.com/pytorch/pytorch/issues/141287"
    " and mention use-case, that resulted in missing op as well as commit hash "
)
_NO_WAY_OUT = ". Please note, that distributed operators can not fall back to CPU"
_FALLS_BACK = (
    "The operator '{}' is not currently supported on the MPS backend and will fall back to run on"
    " the CPU. This may have performance implications."
)


@dataclass(frozen=True)
class Messages:
    """The texts of one release; ``not_implemented_distributed`` is empty before there was one."""

    not_implemented: str
    not_implemented_distributed: str
    falls_back: str
    pool: str


def messages(torch: str, git: str) -> Messages:
    """Return the texts of a release; ``git`` is the commit that it was built from."""
    release = Version(torch).release[:2]
    if release < (2, 6):
        text = "The" + _HEAD + _OLD_PLACE + _TAIL
    else:
        text = "The" + _HEAD + _PLACE + git + _TAIL
    distributed = ""
    if release >= (2, 11):
        distributed = "The distributed" + _HEAD + _PLACE + git + _NO_WAY_OUT
    # Reports quote both pools up to 2.9; the newer sources have one, for shared memory.
    return Messages(text, distributed, _FALLS_BACK, "private" if release < (2, 10) else "shared")


def fallback_enabled(value: str | None, torch: str) -> bool:
    """Read ``PYTORCH_ENABLE_MPS_FALLBACK`` as a release does; None is unset.

    Up to 2.7 it is a whole number; anything else ends the process while torch is imported, which is
    said with a ``UserError`` here. Since 2.8 everything but "0" enables, also "" and "false".
    """
    if value is None:
        return False
    if Version(torch).release[:2] >= (2, 8):
        return value != "0"
    number = re.match(r"\s*([+-]?\d+)", value)
    if number is None:
        raise UserError(
            f"{VARIABLE}={value!r} is no number: torch {torch} ends the process while it is imported",
            f"set it to 1, or do not set it: unset {VARIABLE}",
        )
    return int(number[1]) != 0
