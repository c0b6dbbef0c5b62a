"""Patch the attributes through which torch's Python code finds MPS, and restore them afterwards."""

from __future__ import annotations

import contextlib
import platform
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
def shims(signposts: list[str]) -> Iterator[None]:
    """Make ``torch.backends.mps``, ``torch.mps`` and storages behave as on a Mac inside the block.

    What the profiler of MPS is asked for is added to ``signposts``; there is none.
    """
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
        replace(torch.UntypedStorage, "__new__", _new_storage)
        for name in _METAL:
            replace(c, name, _no_metal(name))
        replace(c, "_mps_profilerStartTrace", _start_trace(signposts))
        replace(c, "_mps_profilerStopTrace", lambda: signposts.append("stop"))
        replace(c, "_mps_isCaptureEnabled", lambda: False)
        replace(c, "_mps_isCapturing", lambda: False)
        replace(c, "_mps_stopCapture", lambda: None)  # called after an error of _mps_startCapture
        if hasattr(c, "_accelerator_emptyHostCache"):
            # It calls an allocator for pinned memory, of which mps has none, without a check.
            replace(c, "_accelerator_emptyHostCache", lambda: None)
        if wrapper := getattr(torch, "_TorchCompileInductorWrapper", None):
            replace(wrapper, "__call__", _instead_of_inductor(wrapper.__call__))
        replace(platform, "processor", _processor(platform.processor))
        stack.callback(clear_caches)
        yield


# Functions of torch._C that need Metal, by what the emulated device does not have. A CPU build of torch
# has none of them, and then says that MPS is not available.
_METAL = {
    "_mps_compileShader": "no Metal compiler",
    "_mps_loadMetalllib": "no Metal compiler",
    "_mps_loadMetallibFromPath": "no Metal compiler",
    "_mps_startCapture": "no Metal captures",
    "_mps_host_alias_storage": "no second view of its storages",
}


def _start_trace(signposts: list[str]) -> Callable[[str, bool], None]:
    def start(mode: str, wait_until_completed: bool) -> None:
        waits = ", waits until completed" if wait_until_completed else ""
        signposts.append(f"start {mode}{waits}")

    return start


def _no_metal(name: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise NotImplementedError(f"the emulated mps device has {_METAL[name]}")

    return refuse


def _instead_of_inductor(compile_for_cpu: Callable[..., Any]) -> Callable[..., Any]:
    """Return a back end that runs graphs with mps tensors eagerly, which Inductor compiles for Metal.

    They are traced and decomposed as for Inductor, which has no kernels of MPS for what it decomposes.
    """

    def compile_graph(self: Any, model: Any, inputs: Any, **options: Any) -> Any:
        from torch._dynamo.backends.registry import lookup_backend

        tensors = [*inputs, *model.parameters(), *model.buffers()]
        nodes = [node.meta.get("example_value") for node in model.graph.nodes]
        if any(getattr(each, "device", None) == torch.device("mps", 0) for each in tensors + nodes):
            return lookup_backend("aot_eager_decomp_partition")(model, inputs)
        return compile_for_cpu(self, model, inputs, **options)

    return compile_graph


# Libraries that ask for the processor before they use mps, by the modules in which they do so.
# lightning 2.6.6, src/lightning/fabric/accelerators/mps.py: MPSAccelerator.is_available
_ASK_FOR_THE_PROCESSOR = (
    "lightning.fabric.accelerators.mps",
    "lightning.pytorch.accelerators.mps",
    "lightning_fabric.accelerators.mps",
    "pytorch_lightning.accelerators.mps",
)


def _processor(real: Callable[[], str]) -> Callable[[], str]:
    """Return a ``platform.processor`` that is a Mac's for those libraries, and the real one for others."""

    def processor() -> str:
        caller = sys._getframe(1).f_globals.get("__name__")
        return "arm" if caller in _ASK_FOR_THE_PROCESSOR else real()

    return processor


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


def _new_storage(kind: Any, *arguments: Any, device: Any = None, **options: Any) -> Any:
    """``UntypedStorage(device="mps")``, which the constructor of a CPU build does not know."""
    if device is None or torch.device(device).type != "mps":
        options.update({} if device is None else {"device": device})
        return torch._C.StorageBase.__new__(kind, *arguments, **options)
    content = arguments[0] if arguments else 0
    size = content if isinstance(content, int) else len(content)
    bytes_on_mps = torch.empty(size, dtype=torch.uint8, device=device)
    if not isinstance(content, int):
        bytes_on_mps.copy_(torch.tensor(list(content), dtype=torch.uint8))
    return bytes_on_mps.untyped_storage()


def _storage_on_mps(storage: Any) -> Any:
    """``UntypedStorage.mps()``, which a CPU build does not have; returns a copy on the device."""
    if storage.device.type == "mps":
        return storage
    target = torch.empty(storage.nbytes(), dtype=torch.uint8, device="mps")
    source = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
    return target.copy_(source).untyped_storage()
