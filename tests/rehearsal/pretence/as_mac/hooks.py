"""Change modules right after they were imported: start methods, tools, the emulated mps."""

from __future__ import annotations

import atexit
import contextlib
import os
import runpy
import sys
from collections.abc import Callable, Mapping
from importlib import machinery
from pathlib import Path
from types import ModuleType
from typing import Any

from as_mac import facts

_BUILTINS: dict[str, Any] = {}
_emulation = contextlib.ExitStack()  # until the process ends


def install(builtins: dict[str, Any]) -> None:
    """Wait for the modules below to be imported."""
    global _BUILTINS
    _BUILTINS = builtins
    sys.meta_path.insert(0, _Finder())
    runpy_: Any = runpy
    made = runpy_._TempModule.__init__

    def init(self: Any, name: str) -> None:
        """Let a program that runpy runs see the Mac, too."""
        made(self, name)
        vars(self.module)["__builtins__"] = builtins

    runpy_._TempModule.__init__ = init
    for name, change in _CHANGES.items():
        if name in sys.modules:
            change(sys.modules[name])


class _Finder:
    """Finds nothing by itself: it adds a step to the loader of the modules that are to be changed."""

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> machinery.ModuleSpec | None:
        """Return the real spec, with the change behind its loader."""
        change = _CHANGES.get(name)
        if change is None:
            return None
        spec = machinery.PathFinder.find_spec(name, path, target)
        loader: Any = spec and spec.loader
        if loader is None:
            return None
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            change(module)

        loader.exec_module = exec_module
        return spec


def _spawn(context: Any) -> None:
    """Make spawn the default of multiprocessing, as on macOS since Python 3.8."""
    context._default_context = context.DefaultContext(context._concrete_contexts["spawn"])


def _tools(subprocess: Any) -> None:
    """Start the Mac's tool where its absolute path is given, and keep the pretence in all children."""
    execute = subprocess.Popen._execute_child

    def execute_child(
        self: Any,
        args: Any,
        executable: Any,
        preexec_fn: Any,
        close_fds: Any,
        pass_fds: Any,
        cwd: Any,
        env: Any,
        *others: Any,
    ) -> Any:
        if isinstance(args, (list, tuple)) and args:
            args = [tool(os.fspath(args[0])), *args[1:]]
        elif isinstance(args, str):
            args = tool(args)
        if executable is not None:
            executable = tool(os.fspath(executable))
        return execute(
            self, args, executable, preexec_fn, close_fds, pass_fds, cwd, kept(env), *others
        )

    subprocess.Popen._execute_child = execute_child


def tool(path: Any) -> Any:
    """Return the file that stands for an absolute path of a Mac's tool; other paths stay."""
    return facts.mac["tools"].get(path, path)


def kept(env: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Return an environment for a child with what the pretence needs; None is this process's own."""
    if env is None or os.environ.get("METALASSAY_REHEARSAL") is None:
        return env
    wanted = {
        name: value for name, value in os.environ.items() if name.startswith("METALASSAY_REHEARSAL")
    }
    changed = {**env, **{name: value for name, value in wanted.items() if name not in env}}
    folder = str(Path(__file__).parents[1])
    places = [place for place in changed.get("PYTHONPATH", "").split(os.pathsep) if place]
    if folder not in places:
        changed["PYTHONPATH"] = os.pathsep.join([folder, *places])
    return changed


def _mps(torch: Any) -> None:
    """Give this process the Mac's mps, emulated on the CPU, or advertised and dead."""
    state = facts.mac["mps"]["state"]
    if state == "absent" or os.environ.get("METALASSAY_REHEARSAL_EMULATOR") != "1":
        return
    with facts.linux():
        from metalassay.mps.emulator import session

        # If it has to be built after all, the compiler's Python must not want it too.
        os.environ["METALASSAY_REHEARSAL_EMULATOR"] = "0"
        session.start(
            _emulation,
            memory=facts.mac["mps"]["recommended_bytes"],
            dead=state == "dead",
            quiet=True,
        )
        os.environ["METALASSAY_REHEARSAL_EMULATOR"] = "1"
        atexit.register(_emulation.close)  # before torch's threads end
        name = facts.mac["mps"]["name"]
        torch._C._mps_get_name = lambda: name
        torch._C._mps_get_core_count = lambda: facts.mac["gpu_cores"]


def _emulated_device(module: Any) -> None:
    """Mark what is measured on mps: our code tells the emulated one by the system, which is a Mac here."""
    module.emulated = lambda device: device.type == "mps"


def _emulated_batch(module: Any) -> None:
    import platform

    module.platform = platform


def _ranks(module: Any) -> None:
    """Let the ranks meet on the loopback of the machine that really runs them: a Mac's is lo0."""
    environment = module._environment

    def real(*arguments: Any) -> dict[str, str]:
        return {**environment(*arguments), "GLOO_SOCKET_IFNAME": "lo"}

    module._environment = real


def _hazards(module: Any) -> None:
    """Let the children of compat/ get their mps from this pretence, as on a Mac, and not from pytest's."""
    module.emulated = lambda: None


def _rewritten(rewrite: Any) -> None:
    """Change modules that pytest loads itself too: it rewrites the asserts of its plugins' packages."""
    hook = rewrite.AssertionRewritingHook
    execute = hook.exec_module

    def exec_module(self: Any, module: ModuleType) -> None:
        execute(self, module)
        if module.__name__ in _CHANGES:
            _CHANGES[module.__name__](module)

    hook.exec_module = exec_module


def _programs(module: Any) -> None:
    """Let the code of ``-c`` that preflight runs in its own process see the Mac."""
    import types

    class Program(types.ModuleType):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            vars(self)["__builtins__"] = _BUILTINS

    faked = types.ModuleType("types")
    vars(faked).update(vars(types), ModuleType=Program)
    module.types = faked


_CHANGES: dict[str, Callable[[Any], None]] = {
    "multiprocessing.context": _spawn,
    "subprocess": _tools,
    "torch": _mps,
    "_pytest.assertion.rewrite": _rewritten,
    "metalassay.measure.device": _emulated_device,
    "metalassay.cli.max_batch": _emulated_batch,
    "metalassay.testing.ranks": _ranks,
    "mps_processes": _hazards,
    "metalassay.mps.program_runner": _programs,
}
