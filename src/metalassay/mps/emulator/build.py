"""Compiles the emulator once for each torch, and loads it.

The result is kept in the user's cache folder, by the versions of torch and Python and by the
content of the sources. It is built in a folder of its own that is then renamed: an interrupted build
leaves nothing that a later one waits for, and two at once do not meet.
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


def load(say: Callable[[str], None] = lambda _: None) -> ModuleType:
    """Return the compiled module for the torch that runs; builds it where there is none yet.

    ``say`` is told when a build begins, which takes about half a minute. Raises ``UserError`` where it
    cannot work: the system, the torch, a missing compiler or ninja, a failed compilation.
    """
    if NAME in _loaded:
        return _loaded[NAME]
    import torch

    check_torch(torch)
    library = folder(torch.__version__) / f"{NAME}.so"
    if not library.exists():
        _build(library, say)
    _loaded[NAME] = _import(library)
    return _loaded[NAME]


def check_torch(torch: Any) -> None:
    """Raise ``UserError`` where the emulator cannot work with this torch or on this system."""
    release = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if sys.platform == "darwin" and torch.backends.mps.is_built():
        raise UserError(
            "this Mac has MPS itself, which an emulation would hide",
            "run without the emulation here, and with it on Linux",
        )
    if sys.platform != "linux":
        raise UserError(
            f"mps is emulated on Linux alone, and this is {platform.system()}",
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
            f"torch {torch.__version__} is built for {other}, and refuses a second accelerator",
            "install a CPU build, whose version ends in +cpu, from PyTorch's CPU index",
        )


def folder(torch_version: str) -> Path:
    """Return where the module for a version of torch is kept."""
    content = hashlib.sha256(repr(FLAGS).encode())
    for path in sorted(SOURCES.iterdir()):
        content.update(path.name.encode() + path.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    tag = sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag
    return cache / "metalassay" / f"emulator-{torch_version}-{tag}-{content.hexdigest()[:12]}"


def check_tools() -> dict[str, str]:
    """Return the environment to build in. Raises ``UserError`` for what is missing."""
    # ninja of a virtual environment is found also where that is not activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler.split()[0], path=path) is None:
        raise UserError(
            f"there is no C++ compiler to build the emulated mps with: {compiler}",
            "sudo apt-get install g++, or point the variable CXX to one",
        )
    if shutil.which("ninja", path=path) is None:
        raise UserError("there is no ninja to build the emulated mps with", EXTRA)
    if importlib.util.find_spec("setuptools") is None:
        raise UserError("torch builds extensions with setuptools, which is missing", EXTRA)
    headers = Path(sysconfig.get_paths()["include"], "Python.h")
    if not headers.exists():
        raise UserError(
            f"the headers of this Python are missing: {headers}",
            "sudo apt-get install python3-dev, or use a Python that brings them",
        )
    return {**os.environ, "PATH": path}


def _build(library: Path, say: Callable[[str], None]) -> None:
    env = check_tools()
    say(f"building the emulated mps for this torch, once: {library.parent}")
    library.parent.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".building-", dir=library.parent.parent))
    try:
        # A process of its own: it changes nothing here, and what a compiler prints is kept for errors.
        command = [sys.executable, "-c", _SCRIPT, str(SOURCES), str(draft), *FLAGS]
        done = subprocess.run(command, env=env, capture_output=True, text=True)  # noqa: S603
        if done.returncode != 0 or not (draft / library.name).exists():
            log = library.parent.with_name(library.parent.name + ".log")
            log.write_text(done.stdout + done.stderr, "utf-8")
            raise UserError(
                f"the emulated mps did not compile; what the compiler said: {log}",
                "a C++20 compiler is needed (g++ 11 or newer), and a torch that is supported",
            )
        for left_over in draft.iterdir():
            if left_over.name != library.name:
                left_over.unlink()
        try:
            draft.rename(library.parent)
        except OSError:
            if not library.exists():  # otherwise another process was quicker
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


_SCRIPT = f"""
import sys
from pathlib import Path
from torch.utils import cpp_extension
sources, target, *flags = sys.argv[1:]
# All in one: torch's headers take most of the time, and are then read once.
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
        raise UserError(f"{library} cannot be loaded", f"rm -r {library.parent}")
    module = importlib.util.module_from_spec(spec)
    try:
        loader.exec_module(module)
    except ImportError as error:
        raise UserError(
            f"the emulated mps does not fit this torch: {error}", f"rm -r {library.parent}"
        ) from None
    return module
