"""What really lands in a fresh interpreter; who may import whom is import-linter's, in pyproject.toml."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import metalassay

HEAVY = ("torch", "accelerate", "transformers", "trl", "datasets", "numpy", "pytest")
# These import torch or the libraries under test.
MEASURING = ("guard", "measure", "patches", "testing", "training", "workloads")
# Programs of a child process and plugins of the user's pytest, which run beside the user's torch.
GUESTS = ("child", "dataloader_child", "pytest_plugin", "run_child", "tracing", "__main__")
# The emulator's own parts begin where torch is there.
EMULATOR = "metalassay.mps.emulator."


def reading() -> list[str]:
    modules = [each.name for each in pkgutil.walk_packages(metalassay.__path__, "metalassay.")]
    return [
        name
        for name in modules
        if name.split(".")[1] not in MEASURING
        and name.rpartition(".")[2] not in GUESTS
        and not name.startswith(EMULATOR)
    ]


def loaded_after(code: str) -> list[str]:
    code = f"import importlib, sys\n{code}\nprint(*sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_reading_everything_loads_no_heavy_library() -> None:
    modules = reading()
    assert len(modules) > 80
    assert loaded_after(f"for name in {modules}: importlib.import_module(name)") == []


def test_measuring_loads_torch() -> None:
    """The check above can fail."""
    assert loaded_after("import metalassay.measure.device") == ["numpy", "torch"]
