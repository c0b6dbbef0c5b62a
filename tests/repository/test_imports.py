"""What imports load into a fresh interpreter; import-linter checks who may import whom."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import metalassay

HEAVY = ("torch", "accelerate", "transformers", "trl", "datasets", "numpy", "pytest")
# Rooms that import torch or the libraries under test.
MEASURING = ("ask", "guard", "measure", "patches", "testing", "training", "workloads")
# Programs of child processes, and plugins for the user's pytest, which run with the user's torch.
GUESTS = (
    "arms",
    "beyond",
    "child",
    "child_devices",
    "dataloader_child",
    "process_arms",
    "profile_child",
    "ported_watch",
    "pytest_plugin",
    "recording",
    "run_child",
    "start_child",
    "tracing",
    "__main__",
)
# The parts of the emulator, which needs torch.
EMULATOR = "metalassay.mps.emulator."


def torch_free_modules() -> list[str]:
    modules = [module.name for module in pkgutil.walk_packages(metalassay.__path__, "metalassay.")]
    return [
        name
        for name in modules
        if name.split(".")[1] not in MEASURING
        and name.rpartition(".")[2] not in GUESTS
        and not name.startswith(EMULATOR)
    ]


def heavy_libraries_after(code: str) -> list[str]:
    """Return the heavy libraries that a fresh interpreter has loaded after running ``code``."""
    code = f"import importlib, sys\n{code}\nprint(*sorted(set({HEAVY}) & set(sys.modules)))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return child.stdout.split()


def test_the_torch_free_modules_load_no_heavy_library() -> None:
    modules = torch_free_modules()
    assert len(modules) > 80
    assert heavy_libraries_after(f"for name in {modules}: importlib.import_module(name)") == []


def test_a_measuring_module_loads_torch() -> None:
    """Show that the test above can fail."""
    assert heavy_libraries_after("import metalassay.measure.device") == ["numpy", "torch"]
