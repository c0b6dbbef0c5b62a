"""What is installed, read from package metadata: nothing is imported, so nothing can break."""

from __future__ import annotations

import platform
from importlib import metadata

STACK = (
    "accelerate",
    "torch",
    "transformers",
    "trl",
    "datasets",
    "huggingface-hub",
    "numpy",
    "safetensors",
    "tokenizers",
    "torchdata",
    "peft",
    "setuptools",
    "metalassay",
)
"""The packages whose versions decide what we measure, named as on the package index."""


def installed(packages: tuple[str, ...] = STACK) -> dict[str, str]:
    """Return the version of Python and of each of ``packages`` that is installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
