"""Packages written to a folder, as an installer would leave them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from metalassay.linkcheck import source
from metalassay.linkcheck.source import Package


def install(
    folder: Path, package: str, version: str, files: Mapping[str, str], metadata: str = ""
) -> Path:
    """Write a package with its metadata; ``files`` are below the package. Return ``folder``."""
    for name, text in {"__init__.py": "", **files}.items():
        path = folder / package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir()
    name = package.replace("_", "-")
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}\n"
    (info / "METADATA").write_text(text, "utf-8")
    (info / "RECORD").write_text("", "utf-8")
    return folder


def read(folder: Path, package: str, files: Mapping[str, str]) -> Package:
    """Write a package without metadata, and read its source."""
    for name, text in {"__init__.py": "", **files}.items():
        path = folder / package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")
    return source.read(source.files(folder, package), package)
