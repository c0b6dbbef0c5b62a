"""Calculate with the numbers in a message: how much memory is missing, which batch size divides.

Each function takes the named groups of a match and returns further values for the texts; it leaves out
what the message does not tell. ``kind`` selects a case of the row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Values = Mapping[str, str]

_UNITS = {"bytes": 1, "B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
_GIB = 2**30
_SINGLE = 0.25  # of the limit; a request as large is one tensor's fault, not the sum's


def memory(values: Values) -> dict[str, str]:
    """Compare what MPS and others hold with the limit in "MPS backend out of memory".

    ``kind`` is "nothing" (the device gave nothing though nothing is in use: a virtual machine),
    "one" (a single request of a quarter of the limit or more), "others" (more than half is held by
    others than PyTorch's tensors) or "full". Sizes are in GiB, MiB or bytes.
    """
    try:
        allocated, tried = _bytes(values["allocated"]), _bytes(values["tried"])
        other = _bytes(values.get("other", "0 bytes"))
        limit = _bytes(values["limit"]) if "limit" in values else None
    except (KeyError, ValueError):
        return {}
    result = {
        "held": _size(allocated + other),
        "mine": _size(allocated),
        "others": _size(other),
        "wanted": _size(tried),
    }
    if limit:
        result |= {
            "most": _size(limit),
            "over": _size(max(0.0, allocated + other + tried - limit)),
            "recommended": _size(
                limit / 1.7
            ),  # the default limit is 1.7 times the recommended size
        }
    if allocated + other == 0 and tried < 2**20:
        result["kind"] = "nothing"
    elif limit and tried >= _SINGLE * limit:
        result["kind"] = "one"
    elif other > allocated:
        result["kind"] = "others"
    else:
        result["kind"] = "full"
    return result


def buffer(values: Values) -> dict[str, str]:
    """Say how many float32 elements the refused buffer would have held, in ``elements``."""
    try:
        size = _bytes(values["size"])
    except (KeyError, ValueError):
        return {}
    side = int((size / 4) ** 0.5)
    return {"wanted": _size(size), "elements": f"{size / 4:.1e}", "side": f"{side:,}"}


def grpo(values: Values) -> dict[str, str]:
    """Find the settings of GRPO that fit: ``batch`` and ``accumulation`` divide by ``generations``.

    ``completions`` is how many completions one optimizer step sees now.
    """
    try:
        sizes = [int(number) for number in values["product"].replace("*", "x").split("x")]
        generations = int(values["generations"])
    except (KeyError, ValueError):
        return {}
    if generations < 1 or not all(sizes):
        return {}
    now = 1
    for size in sizes:
        now *= size
    result = {"completions": str(now), "batch": str(_batch(sizes[0], generations))}
    if fitting := [n for n in range(2, now + 1) if now % n == 0]:
        result["fitting"] = ", ".join(map(str, fitting[:12]))
    return result


def shapes(values: Values) -> dict[str, str]:
    """Name the two inner dimensions of a product that differ: ``have`` and ``need``."""
    try:
        return {"have": str(int(values["columns"])), "need": str(int(values["rows"]))}
    except (KeyError, ValueError):
        return {}


CALCULATIONS: Mapping[str, Callable[[Values], dict[str, str]]] = {
    "memory": memory,
    "buffer": buffer,
    "grpo": grpo,
    "shapes": shapes,
}


def _batch(processes: int, generations: int) -> int:
    """Return the smallest batch per device that divides into whole groups without accumulation."""
    batch = 1
    while processes * batch % generations:
        batch += 1
    return batch


def _bytes(text: str) -> float:
    """Parse a size such as "9.57 GiB", "292.50 MB" or "0 bytes"; PyTorch's GB are GiB."""
    number, _, unit = text.strip().partition(" ")
    unit = unit.strip().replace("iB", "B")
    if unit not in _UNITS:
        raise ValueError(f"{text!r} is no size")
    return float(number) * _UNITS[unit]


def _size(size: float) -> str:
    if 0 < size < 2**20 / 100:  # a hosted runner refuses 256 bytes, which are not 0.00 MiB
        return f"{size:.0f} bytes"
    return f"{size / _GIB:.2f} GiB" if size >= _GIB else f"{size / 2**20:.2f} MiB"
