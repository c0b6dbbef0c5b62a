"""Compile the emulator once per torch version, and load it.

The library is cached in the user's cache folder by the versions of torch and Python and by the
content of the sources. It is built under a lock, in a temporary folder that is then renamed: a build
that is interrupted leaves nothing, and a second one waits for the first.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from importlib import machinery
from pathlib import Path
from types import ModuleType
from typing import Any

from metalassay.errors import UserError

NAME = "metalassay_emulator"
SOURCES = Path(__file__).with_name("cpp")
# At a lower level than usual, to build in less time; what it costs when operators run was not measured.
FLAGS = ("-O1", "-Wall", "-Wextra")
OLDEST = (2, 3)
NEEDS_TORCH = "install a CPU build of torch (version +cpu) in the Python that runs the program"

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
        _build(torch, library, report)
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


def check_tools() -> str:
    """Return the command of the C++ compiler. Raises ``UserError`` if something for the build is missing."""
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler.split()[0]) is None:
        raise UserError(
            f"no C++ compiler to build the emulated mps with: {compiler} not found",
            "sudo apt-get install g++, or set CXX to a compiler",
        )
    headers = Path(sysconfig.get_paths()["include"], "Python.h")
    if not headers.exists():
        raise UserError(
            f"the C headers of this Python are missing: {headers}",
            "sudo apt-get install python3-dev, or use a Python that includes them",
        )
    return compiler


def command(torch: Any, compiler: str, source: Path, library: Path) -> list[str]:
    """Return the command that compiles ``source`` to ``library`` as an extension of this torch."""
    release = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    home = Path(torch.__file__).parent
    include = home / "include"
    places = (include, include / "torch/csrc/api/include", sysconfig.get_paths()["include"])
    # Like torch's own extension builder: C++20 since 2.12.
    words = [*compiler.split(), "-std=c++20" if release >= (2, 12) else "-std=c++17", *FLAGS]
    words += ["-shared", "-fPIC", f"-DTORCH_EXTENSION_NAME={NAME}"]
    words.append(f"-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}")
    words += [word for place in places for word in ("-isystem", str(place))]
    words += [str(source), "-o", str(library), f"-L{home / 'lib'}"]
    return [*words, "-lc10", "-ltorch_cpu", "-ltorch", "-ltorch_python"]


def _build(torch: Any, library: Path, report: Callable[[str], None]) -> None:
    compiler = check_tools()
    cache = library.parent.parent
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f".{library.parent.name}.lock", report) as lock:
        if library.exists():  # another process has built it meanwhile
            return
        report(f"building the emulated mps for this torch (only once): {library.parent}")
        temporary = cache / f".building-{library.parent.name}"
        shutil.rmtree(temporary, ignore_errors=True)  # from a build that was killed with its guard
        temporary.mkdir()
        # One translation unit: torch's headers take most of the time, and are then parsed once.
        source = temporary / "whole.cpp"
        paths = sorted(SOURCES.glob("*.cpp"))
        source.write_text("".join(f'#include "{path}"\n' for path in paths), "utf-8")
        _compile(command(torch, compiler, source, temporary / library.name), library, lock)
        temporary.rename(library.parent)


def _compile(words: list[str], library: Path, lock: int) -> None:
    """Run the compiler beside a guard, which keeps the lock, and which outlives this process if it must."""
    temporary = Path(words[words.index("-o") + 1]).parent
    log = library.parent.with_name(library.parent.name + ".log")
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", "-c", _GUARD, str(temporary), str(log), library.name, *words],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl+C is for this process
        pass_fds=[lock],
    ) as guard:
        # Left by an exception, the block closes the pipe, and waits for the guard to clean up.
        code = guard.wait()
    if code != 0:
        raise UserError(
            f"the emulated mps did not compile; the compiler's output: {log}",
            "use a C++20 compiler (g++ 11 or newer) and a supported torch",
        )


# Runs the compiler in a folder, in which it leaves the library alone if it succeeds. Its parent may be
# killed in any way: the system then closes the pipe, and this ends the compiler with the processes that
# that has started, and removes the folder.
_GUARD = """
import os, shutil, signal, subprocess, sys, threading
folder, log, library, *words = sys.argv[1:]
output = os.path.join(folder, "output")
with open(output, "w") as file:
    print(*words, file=file, flush=True)
    compiler = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
        env={**os.environ, "TMPDIR": folder},
    )
orphaned = threading.Event()
def watch():
    os.read(0, 1)
    orphaned.set()
    try:
        os.killpg(compiler.pid, signal.SIGKILL)
    except OSError:
        pass
threading.Thread(target=watch, daemon=True).start()
code = compiler.wait()
if code == 0 and not orphaned.is_set():
    for name in os.listdir(folder):
        if name != library:
            os.unlink(os.path.join(folder, name))
else:
    if not orphaned.is_set():
        os.replace(output, log)
    shutil.rmtree(folder, ignore_errors=True)
os._exit(1 if code else 0)
"""


@contextlib.contextmanager
def _locked(path: Path, report: Callable[[str], None]) -> Iterator[int]:
    """Hold a lock on a file, which ends with the last process that has it; tell if it is taken."""
    import fcntl  # Windows, which is refused elsewhere, has none

    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another process is building the emulated mps; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


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
