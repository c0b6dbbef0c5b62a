"""The errors and warnings of the MPS backend in each torch release, and its fallback variable.

The texts are from the strings in the macOS wheels; ``{}`` stands for an operator such as
``aten::mode``.
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
_PRIORITY = (
    "added in priority during the prototype phase of this feature, please comment on"
    " https://github.com/pytorch/pytorch/issues/77764"
)
_REPORT = (
    "considered for addition please comment on https://github.com/pytorch/pytorch/issues/141287"
    " and mention use-case, that resulted in missing op as well as commit hash "
)
_DISTRIBUTED = ". Please note, that distributed operators can not fall back to CPU"
_FALLS_BACK = (
    "The operator '{}' is not currently supported on the MPS backend and will fall back to run on"
    " the CPU. This may have performance implications."
)

_UNSURE = (
    "metalassay cannot tell whether torch RELEASE would call '{}' on MPS here: the installed torch does,"
    " and the emulation runs it on the CPU"
)


@dataclass(frozen=True)
class Messages:
    """The texts of one release; ``not_implemented_distributed`` is empty before torch 2.11.

    ``pool`` is the name of the memory pool in the out-of-memory error. ``unsure`` is not PyTorch's: the
    emulation warns with it where the data do not tell what the release does.
    """

    not_implemented: str
    not_implemented_distributed: str
    falls_back: str
    pool: str
    unsure: str


def messages(torch: str, git: str) -> Messages:
    """Return the texts of a release; ``git`` is the commit that it was built from."""
    release = Version(torch).release[:2]
    if release < (2, 6):
        text = "The" + _HEAD + _PRIORITY + _TAIL
    else:
        text = "The" + _HEAD + _REPORT + git + _TAIL
    distributed = ""
    if release >= (2, 11):
        distributed = "The distributed" + _HEAD + _REPORT + git + _DISTRIBUTED
    # Bug reports quote both pools up to 2.9; newer sources have only one, for shared memory.
    pool = "private" if release < (2, 10) else "shared"
    return Messages(text, distributed, _FALLS_BACK, pool, _UNSURE.replace("RELEASE", torch))


def fallback_enabled(value: str | None, torch: str) -> bool:
    """Return whether ``PYTORCH_ENABLE_MPS_FALLBACK`` enables the fallback; None means unset.

    Up to torch 2.7 the value must be an integer; anything else aborts the import of torch, and raises
    ``UserError`` here. Since 2.8 every value except "0" enables it, including "" and "false".
    """
    if value is None:
        return False
    if Version(torch).release[:2] >= (2, 8):
        return value != "0"
    number = re.match(r"\s*([+-]?\d+)", value)
    if number is None:
        raise UserError(
            f"{VARIABLE}={value!r} is not a number: importing torch {torch} would abort the process",
            f"set it to 1, or run: unset {VARIABLE}",
        )
    return int(number[1]) != 0
