"""Compile the emulator once per torch version, and load it.

The library is cached in the user's cache folder by the versions of torch and Python and by the
content of the sources. It is built in a temporary folder that is then renamed, so that neither an
interrupted build nor two builds at once can disturb another.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from importlib import machinery
from pathlib import Path
from types import ModuleType
from typing import Any

from metalassay.errors import UserError

NAME = "metalassay_emulator"
SOURCES = Path(__file__).with_name("cpp")
FLAGS = ("-O2", "-Wall", "-Wextra")
OLDEST = (2, 3)
EXTRA = "python -m pip install 'metalassay[emulator]'"

_loaded: dict[str, ModuleType] = {}


def load(report: Callable[[str], None] = lambda _: None) -> ModuleType:
    """Return the compiled module for the installed torch; build it first if it is not cached.

    ``report`` is called when a build begins, which takes about half a minute. Raises ``UserError``
    if the system or the torch is not supported, a tool is missing or the compilation fails.
    """
    if NAME in _loaded:
        return _loaded[NAME]
    import torch

    check_torch(torch)
    library = folder(torch.__version__) / f"{NAME}.so"
    if not library.exists():
        _build(library, report)
    _loaded[NAME] = _import(library)
    return _loaded[NAME]


def check_torch(torch: Any) -> None:
    """Raise ``UserError`` if the emulator does not support this torch or this system."""
    release = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if sys.platform == "darwin" and torch.backends.mps.is_built():
        raise UserError(
            "this Mac has MPS, which the emulation would hide",
            "run without the emulation here, and use it on Linux",
        )
    if sys.platform != "linux":
        raise UserError(
            f"mps can be emulated only on Linux; this is {platform.system()}",
            "run it in Linux CI, a container or WSL",
        )
    if release < OLDEST:
        raise UserError(
            f"torch {torch.__version__} is too old to emulate mps",
            f"python -m pip install 'torch>={OLDEST[0]}.{OLDEST[1]}'",
        )
    version = torch.version
    other = next((kind for kind in ("cuda", "hip", "xpu") if getattr(version, kind, None)), "")
    if other and release >= (2, 6):
        raise UserError(
            f"torch {torch.__version__} is built for {other} and does not allow a second accelerator",
            "install a CPU build (version +cpu) from PyTorch's CPU index",
        )


def folder(torch_version: str) -> Path:
    """Return the folder in which the module for a torch version is cached."""
    content = hashlib.sha256(repr(FLAGS).encode())
    for path in sorted(SOURCES.iterdir()):
        content.update(path.name.encode() + path.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    tag = sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag
    return cache / "metalassay" / f"emulator-{torch_version}-{tag}-{content.hexdigest()[:12]}"


def check_tools() -> dict[str, str]:
    """Return the environment variables for the build. Raises ``UserError`` if a tool is missing."""
    # Find the ninja of a virtual environment even if the environment is not activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler.split()[0], path=path) is None:
        raise UserError(
            f"no C++ compiler to build the emulated mps with: {compiler} not found",
            "sudo apt-get install g++, or set CXX to a compiler",
        )
    if shutil.which("ninja", path=path) is None:
        raise UserError("no ninja to build the emulated mps with", EXTRA)
    if importlib.util.find_spec("setuptools") is None:
        raise UserError(
            "torch needs setuptools to build extensions, and it is not installed", EXTRA
        )
    headers = Path(sysconfig.get_paths()["include"], "Python.h")
    if not headers.exists():
        raise UserError(
            f"the C headers of this Python are missing: {headers}",
            "sudo apt-get install python3-dev, or use a Python that includes them",
        )
    return {**os.environ, "PATH": path}


def _build(library: Path, report: Callable[[str], None]) -> None:
    env = check_tools()
    report(f"building the emulated mps for this torch (only once): {library.parent}")
    library.parent.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".building-", dir=library.parent.parent))
    try:
        # In a child process, which does not change this one, and whose output is kept for errors.
        command = [sys.executable, "-P", "-c", _SCRIPT, str(SOURCES), str(temporary), *FLAGS]
        done = subprocess.run(command, env=env, capture_output=True, text=True)  # noqa: S603
        if done.returncode != 0 or not (temporary / library.name).exists():
            log = library.parent.with_name(library.parent.name + ".log")
            log.write_text(done.stdout + done.stderr, "utf-8")
            raise UserError(
                f"the emulated mps did not compile; the compiler's output: {log}",
                "use a C++20 compiler (g++ 11 or newer) and a supported torch",
            )
        for file in temporary.iterdir():
            if file.name != library.name:
                file.unlink()
        try:
            temporary.rename(library.parent)
        except OSError:
            if not library.exists():  # otherwise another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


_SCRIPT = f"""
import sys
from pathlib import Path
from torch.utils import cpp_extension
sources, target, *flags = sys.argv[1:]
# One translation unit: torch's headers take most of the time, and are then parsed once.
whole = Path(target, "whole.cpp")
paths = sorted(Path(sources).glob("*.cpp"))
whole.write_text("".join(f'#include "{{path}}"\\n' for path in paths))
cpp_extension.load(
    "{NAME}", str(whole), build_directory=target, extra_cflags=flags, verbose=True,
    is_python_module=False,
)
"""


def _import(library: Path) -> ModuleType:
    loader = machinery.ExtensionFileLoader(NAME, str(library))
    spec = importlib.util.spec_from_file_location(NAME, library, loader=loader)
    if spec is None:
        raise UserError(f"cannot load {library}", f"rm -r {library.parent}")
    module = importlib.util.module_from_spec(spec)
    try:
        loader.exec_module(module)
    except ImportError as error:
        raise UserError(
            f"the cached emulated mps does not match this torch: {error}", f"rm -r {library.parent}"
        ) from None
    return module
