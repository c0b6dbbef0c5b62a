"""The process that does the work of one arm of a comparison; started by ``workers.processes``.

    python child.py FD                        serves one arm over the socket FD
    python child.py FD --fork-server IMPORTS  imports, then forks a child for each socket it receives

It runs with whatever torch the user's environment has and does not need metalassay installed there:
it finds this package by its own path. Messages are JSON, one per line. The clock is read here, right
around the steps, and the step ends in a synchronize.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import json
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_PRODUCT = 64  # the extra work of `extra=N` is N products of two square matrices of this size
_LONG_PAUSE = (
    20  # steps of one's own; in an ABBA block there are at most four of the others between two
)

Step = Callable[[], object]


def main(arguments: list[str]) -> None:
    """Serve the socket whose file descriptor is the first argument."""
    # Ctrl+C goes to the whole group; the parent decides what to do, and closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _our_package()
    wire = socket.socket(fileno=int(arguments[0]))
    os.dup2(2, 1)  # the output of the user's code must not mix with the parent's
    if "--fork-server" in arguments:
        from metalassay.workers import fork_server

        fork_server.run(wire, json.loads(arguments[2]), _serve)
    else:
        _serve(wire)


def _our_package() -> None:
    """Make ``import metalassay`` import this package, even if another one is installed.

    Its parent folder must not be added to sys.path: it may be a site-packages with another torch.
    """
    room = Path(__file__).parent
    here = room.parent
    if Path(sys.path[0] or ".").resolve() == room:  # added because this file is run as a script
        del sys.path[0]
    spec = importlib.util.spec_from_file_location(
        "metalassay", here / "__init__.py", submodule_search_locations=[str(here)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no package in {here}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["metalassay"] = module
    spec.loader.exec_module(module)


def _serve(wire: socket.socket) -> None:
    # The parent may end, or close the socket early because another arm failed.
    with contextlib.suppress(ConnectionResetError):
        _answer(wire)


def _answer(wire: socket.socket) -> None:
    arm: _Arm | None = None
    for line in wire.makefile("rb"):
        message = json.loads(line)
        try:
            if "build" in message:
                arm = _Arm(message["build"])
                answer = arm.facts
            elif arm is None:
                answer = {"error": "work requested before anything was built"}
            elif "sample" in message:
                answer = arm.sample(int(message["sample"]))
            else:
                answer = arm.finish()
        except Exception as error:  # noqa: BLE001  (the user's code may raise anything; the parent reports it)
            text = str(error).partition("\n")[0]
            answer = {"error": f"{type(error).__name__}: {text}" if text else type(error).__name__}
            if isinstance(error, ModuleNotFoundError) and error.name:
                top = error.name.partition(".")[0]
                answer["next_step"] = (
                    f"{sys.executable} -m pip install {top}, or name the Python that has it"
                )
            # Our own errors are sentences: they are reported without the name of the class.
            if next_step := getattr(error, "next_step", None):
                answer = {"error": getattr(error, "message", text), "next_step": next_step}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            wire.sendall(json.dumps(answer).encode() + b"\n")


class _Arm:
    """A step that has been built and warmed up, with the clocks to time it."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        from metalassay.machine.process_memory import page_faults, peak_rss
        from metalassay.measure.steady_state import MOST_STEPS, PAUSE, steady
        from metalassay.workers.heap_randomisation import HeapRandomisation

        self.pause = PAUSE
        self.heap, self.page_faults, self.peak_rss = HeapRandomisation(), page_faults, peak_rss
        if spec.get("malloc") == "tuned":
            from metalassay.machine.malloc import tune_malloc

            tune_malloc()
        self.check: Callable[[], object] | None = None
        self.wait: Step = lambda: None
        self.driver: Callable[[], int | None] = lambda: None
        self.driver_seen: int | None = None
        self.waits: Step | None = None  # what waits for the device of another framework than torch
        build = {"workload": self._workload, "function": self._function, "model": self._model}
        about = build[spec["kind"]](spec)
        on_cpu = spec["device"] == "cpu"
        self.clock = clock = time.process_time if on_cpu else time.perf_counter
        seconds: list[float] = []
        began = time.perf_counter()
        while not steady(seconds) and len(seconds) < MOST_STEPS:
            start = clock()
            self._once()
            seconds.append(clock() - start)
            if time.perf_counter() - began > spec["warm_up"] and len(seconds) > 1:
                break
        gc.collect()
        gc.freeze()
        gc.disable()  # its pauses would fall into arbitrary timings
        if not on_cpu:
            self._refuse_asynchronous_step(spec["device"])
        self.usual = sorted(seconds[-10:])[len(seconds[-10:]) // 2]
        if on_cpu:
            # The others' turns alone are a longer pause than that where steps take 30 ms or more. An untimed step before
            # each turn then took time and pulled the turns apart: see "Long steps" in docs/compare.md.
            self.pause = max(PAUSE, _LONG_PAUSE * self.usual)
        self.worked = time.perf_counter()
        self.steps = self.faults = 0
        self.facts = {
            **about,
            "warm_up_steps": len(seconds),
            "steady": steady(seconds),
            "first_step": seconds[0],
            "step": self.usual,
            "python": platform.python_version(),
            "torch": getattr(sys.modules.get("torch"), "__version__", None),
            "pid": os.getpid(),
        }

    def _workload(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        if spec["framework"] == "mlx":
            return self._in_mlx(spec)
        import torch

        from metalassay.measure import device
        from metalassay.workloads.registry import get, make

        torch.set_num_threads(spec["threads"])
        where = torch.device(spec["device"])
        built = make(get(spec["name"]), spec["mode"], where, spec["dtype"], spec["batch"])
        self.driver = lambda: device.memory(where)["driver"]
        self.step, self.check = _with_extra(built.step, spec["extra"], where), built.check
        return {
            "identity": built.identity,
            "threads": torch.get_num_threads(),
            "parameters": built.parameters,
            "emulated": device.emulated(where),
            "extra_flop": 2 * _PRODUCT**3 * spec["extra"],
        }

    def _in_mlx(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        from metalassay.workloads import mlx_registry
        from metalassay.workloads.registry import get

        recipe = get(spec["name"])
        where = mlx_registry.device(spec["device"])
        built = mlx_registry.make(recipe, spec["mode"], where, spec["batch"])
        self.driver = lambda: mlx_registry.memory()["driver"]
        self.step, self.check = built.step, built.check
        self.waits = mlx_registry.wait
        return {
            "identity": built.identity,
            "threads": built.threads,
            "parameters": built.parameters,
            "emulated": False,
            "mlx": mlx_registry.version(),
        }

    def _function(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        path = Path(spec["file"])
        sys.path.insert(0, str(path.parent))
        loader = importlib.util.spec_from_file_location(path.stem, path)
        if loader is None or loader.loader is None:
            raise ImportError(f"{path.name} is not a Python file")
        module = importlib.util.module_from_spec(loader)
        sys.modules[path.stem] = module
        loader.loader.exec_module(module)
        function = getattr(module, spec["function"])
        if "torch" in sys.modules:
            import torch

            torch.set_num_threads(spec["threads"])
            if spec["device"] != "cpu":
                from metalassay.measure.device import memory, synchronize

                where = torch.device(spec["device"])
                self.wait = lambda: synchronize(where)
                self.driver = lambda: memory(where)["driver"]
        result = function()  # the function is either the step or returns the step
        self.step = result if callable(result) else function
        return {"threads": spec["threads"], "emulated": False}

    def _model(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        from metalassay.ask import contract, training_step
        from metalassay.measure import device

        torch.set_num_threads(spec["threads"])
        where = torch.device(spec["device"])
        file = contract.File(Path(spec["file"]))
        self.step = training_step.make(file, where, spec["batch"], spec["dtype"])
        self.driver = lambda: device.memory(where)["driver"]
        return {"threads": spec["threads"], "emulated": device.emulated(where)}

    def _refuse_asynchronous_step(self, kind: str) -> None:
        """Raise ``RuntimeError`` if the device is still busy after a step: timing it is pointless."""
        import torch

        from metalassay.measure.device import synchronize
        from metalassay.measure.timing import best

        wait = self.waits or (lambda: synchronize(torch.device(kind)))
        timing = best(self._once, wait, tries=3)
        if not timing.waited:
            raise RuntimeError(
                f"{kind} was still busy for {timing.left * 1e3:.2f} ms after a step of "
                f"{timing.wall * 1e3:.2f} ms: the step does not wait for the device"
            )

    def _once(self) -> None:
        self.step()
        self.wait()

    def sample(self, steps: int) -> dict[str, Any]:
        """Time ``steps`` steps; after a pause, do a few untimed steps first."""
        self.heap.shuffle()
        warmed = 0
        if time.perf_counter() - self.worked > self.pause:
            # Caches are warm after one step; a GPU's clock and memory may need several.
            for _ in range(1 if self.clock is time.process_time else 5):
                start = self.clock()
                self._once()
                warmed += 1
                if self.clock() - start < 1.1 * self.usual:
                    break
        faults = self.page_faults()
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(steps):
            self._once()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        self.steps, self.faults = self.steps + steps, self.faults + self.page_faults() - faults
        self._see_memory()
        self.worked = time.perf_counter()
        return {"wall": wall / steps, "cpu": cpu / steps, "warmed": warmed}

    def finish(self) -> dict[str, Any]:
        """Check the results of the timed steps; return the memory used and page faults per step.

        "driver_seen" are the bytes that the device's driver held, None on the CPU. Metal's buffers are not in
        the resident memory of a process, and MPS keeps no peak, so it is the most of what was read
        after steps, when the allocator still holds most of what the step used.
        """
        if self.check is not None:
            self.check()
        self._see_memory()
        return {
            "peak_rss": self.peak_rss(),
            "driver_seen": self.driver_seen,
            "page_faults": self.faults / max(1, self.steps),
        }

    def _see_memory(self) -> None:
        now = self.driver()
        if now is not None:
            self.driver_seen = max(self.driver_seen or 0, now)


def _with_extra(step: Step, products: int, device: Any) -> Step:
    """Return the step preceded by ``products`` products of two 64 x 64 matrices."""
    if not products:
        return step
    import torch

    left = torch.rand(_PRODUCT, _PRODUCT, device=device)
    out = torch.empty_like(left)

    def more() -> None:
        with torch.no_grad():
            for _ in range(products):
                torch.mm(left, left, out=out)
        step()  # last, because it waits for the device

    return more


if __name__ == "__main__":
    main(sys.argv[1:])
