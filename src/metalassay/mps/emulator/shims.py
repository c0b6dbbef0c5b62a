"""What torch's Python asks about MPS, answered by the emulation, and put back afterwards."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch

NAME = "emulated mps (metalassay, on the CPU)"
# They remember what they found, which may be from before, or from a time that is over.
_REMEMBERING = (
    "torch.backends.mps",
    "transformers.utils.import_utils",
    "transformers.utils",
    "accelerate.utils.imports",
    "accelerate.utils",
)


@contextlib.contextmanager
def shims() -> Iterator[None]:
    """Let ``torch.backends.mps``, ``torch.mps`` and storages say what they do on a Mac."""
    c: Any = torch._C
    forget()
    with contextlib.ExitStack() as stack:

        def replace(owner: Any, name: str, value: Any) -> None:
            stack.callback(_restorer(owner, name))
            setattr(owner, name, value)

        replace(c, "_has_mps", True)
        replace(c, "_mps_get_name", lambda: NAME)
        # A Mac has 8 and more. No program should take a number from here.
        replace(c, "_mps_get_core_count", lambda: 0)
        replace(torch.mps, "_default_mps_generator", None)
        replace(torch.UntypedStorage, "mps", _storage_on_mps)
        stack.callback(forget)
        yield


def forget() -> None:
    """Clear what torch, transformers and accelerate remember about the devices that exist."""
    for name in _REMEMBERING:
        module: ModuleType | None = sys.modules.get(name)
        for function in list(vars(module).values()) if module else []:
            words = getattr(function, "__name__", "")
            if (("mps" in words or "available" in words) and hasattr(function, "cache_clear")) or (
                module is torch.backends.mps and hasattr(function, "cache_clear")
            ):
                function.cache_clear()


_MISSING = object()


def _restorer(owner: Any, name: str) -> Callable[[], None]:
    """Remember an attribute of ``owner`` itself, not one that it inherits."""
    before = vars(owner).get(name, _MISSING)

    def restore() -> None:
        if before is _MISSING:
            delattr(owner, name)
        else:
            setattr(owner, name, before)

    return restore


def _storage_on_mps(storage: Any) -> Any:
    """``UntypedStorage.mps``: the constructor for the device is not in a CPU build."""
    if storage.device.type == "mps":
        return storage
    target = torch.empty(storage.nbytes(), dtype=torch.uint8, device="mps")
    source = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
    return target.copy_(source).untyped_storage()
