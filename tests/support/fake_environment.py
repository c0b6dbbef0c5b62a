"""A real virtual environment with invented packages, which an invented installer changes."""

from __future__ import annotations

import hashlib
import shutil
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

from metalassay.environment.managers import Manager


class Environment:
    """An environment at ``prefix``, made without pip."""

    def __init__(self, prefix: Path) -> None:
        venv.create(prefix, with_pip=False, symlinks=True)
        self.prefix = prefix
        self.python = str(prefix / "bin" / "python")
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.site = prefix / "lib" / version / "site-packages"

    def add(
        self,
        name: str,
        version: str,
        files: Mapping[str, str] | None = None,
        requires: tuple[str, ...] = (),
        direct: str = "",
    ) -> None:
        """Install a package with files below site-packages, as an installer does it."""
        self.remove(name)
        info = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += "".join(f"Requires-Dist: {each}\n" for each in requires)
        contents = {f"{name}/__init__.py": f"__version__ = {version!r}\n", **(files or {})}
        contents |= {f"{info}/METADATA": metadata, f"{info}/INSTALLER": "uv\n"}
        if direct:
            contents[f"{info}/direct_url.json"] = direct
        contents[f"{info}/RECORD"] = "".join(
            f"{each},,\n" for each in (*contents, f"{info}/RECORD")
        )
        for path, text in contents.items():
            target = self.site / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            target.write_text(text)

    def remove(self, name: str) -> None:
        """Remove a package, if it is there."""
        for each in (self.site / name, *self.site.glob(f"{name}-*.dist-info")):
            shutil.rmtree(each, ignore_errors=True)

    def state(self) -> dict[str, str]:
        """Return the hash of every file and the target of every link, compiled files and our own aside."""
        found = {}
        for path in sorted(self.prefix.rglob("*")):
            inside = path.relative_to(self.prefix)
            if inside.parts[0] == ".metalassay" or "__pycache__" in inside.parts:
                continue
            if path.is_symlink():
                found[str(inside)] = f"-> {path.readlink()}"
            elif path.is_file():
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                found[str(inside)] = f"{digest} {path.stat().st_mode:o}"
        return found

    def manager(self, **more: object) -> Manager:
        """Return how it is managed: by uv, without a project."""
        return Manager("uv venv", self.python, self.prefix, has_uv=True, has_pip=False, **more)  # type: ignore[arg-type]
