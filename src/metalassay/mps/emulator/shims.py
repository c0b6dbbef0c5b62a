"""Patch the attributes through which torch's Python code finds MPS, and restore them afterwards."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch

NAME = "emulated mps (metalassay, on the CPU)"
# These modules cache which devices exist.
_CACHING = (
    "torch.backends.mps",
    "transformers.utils.import_utils",
    "transformers.utils",
    "accelerate.utils.imports",
    "accelerate.utils",
)


@contextlib.contextmanager
def shims() -> Iterator[None]:
    """Make ``torch.backends.mps``, ``torch.mps`` and storages behave as on a Mac inside the block."""
    c: Any = torch._C
    clear_caches()
    with contextlib.ExitStack() as stack:

        def replace(owner: Any, name: str, value: Any) -> None:
            stack.callback(_restorer(owner, name))
            setattr(owner, name, value)

        replace(c, "_has_mps", True)
        replace(c, "_mps_get_name", lambda: NAME)
        # A Mac has at least 8, but no program should rely on a number from the emulation.
        replace(c, "_mps_get_core_count", lambda: 0)
        replace(torch.mps, "_default_mps_generator", None)
        replace(torch.UntypedStorage, "mps", _storage_on_mps)
        stack.callback(clear_caches)
        yield


def clear_caches() -> None:
    """Clear the caches in which torch, transformers and accelerate keep which devices exist."""
    for module_name in _CACHING:
        module: ModuleType | None = sys.modules.get(module_name)
        for function in list(vars(module).values()) if module else []:
            name = getattr(function, "__name__", "")
            about_devices = "mps" in name or "available" in name or module is torch.backends.mps
            if about_devices and hasattr(function, "cache_clear"):
                function.cache_clear()


_MISSING = object()


def _restorer(owner: Any, name: str) -> Callable[[], None]:
    """Return a function that restores an attribute of ``owner``; an inherited one is not copied."""
    before = vars(owner).get(name, _MISSING)

    def restore() -> None:
        if before is _MISSING:
            delattr(owner, name)
        else:
            setattr(owner, name, before)

    return restore


def _storage_on_mps(storage: Any) -> Any:
    """``UntypedStorage.mps()``, which a CPU build does not have; returns a copy on the device."""
    if storage.device.type == "mps":
        return storage
    target = torch.empty(storage.nbytes(), dtype=torch.uint8, device="mps")
    source = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
    return target.copy_(source).untyped_storage()
