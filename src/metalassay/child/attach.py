"""What is done in a process of a run after each of the modules that matter has been imported.

`startup/sitecustomize.py` calls this; an exception of it is one line on stderr and ends nothing.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType, TracebackType

from metalassay.child import run as runs
from metalassay.child.requests import Stop
from metalassay.child.run import Run

_stop: Stop | None = None
_ends: list[object] = []


def after_import(module: ModuleType) -> None:
    """Do what the configuration of the run asks for, now that this module has been executed."""
    run = runs.current()
    if run is None:
        return
    if module.__name__ == "accelerate.data_loader":
        _after_accelerate(run, module)
    elif module.__name__ == "transformers.trainer":
        from metalassay.child import trainer

        trainer.prepare(run, _stop_of(run), module)
    elif module.__name__ == "torch":
        _after_torch(run, module)
    elif module.__name__ == "metalassay.keepalive":
        from metalassay.child import loop

        module.listen(loop.Loop(run, _stop_of(run)))


def _after_accelerate(run: Run, module: ModuleType) -> None:
    from metalassay.child import patching

    patching.apply(run, module)
    if run.config.guard:
        from metalassay.child import loaders

        loaders.prepare(run, module)


def _after_torch(run: Run, torch: ModuleType) -> None:
    from metalassay.child import steps
    from metalassay.child.watch import Watch

    watch = Watch(run, _stop_of(run), torch)
    _ends.append(watch)
    steps.watch(torch)
    # A worker that loads data has nothing to watch; one that trains has, which its first step shows.
    steps.at_first_step(watch.start)
    if not is_worker():
        watch.start()
    if run.config.profile:
        from metalassay.child import profiling

        profiling.start(run, torch)


def _stop_of(run: Run) -> Stop:
    global _stop
    if _stop is None:
        _stop = Stop(run)
    return _stop


def is_worker() -> bool:
    """Return whether multiprocessing started this process, by spawn or its fork server."""
    return "--multiprocessing-fork" in sys.orig_argv or any(
        each.startswith("from multiprocessing") for each in sys.orig_argv
    )


def at_exit() -> None:
    """End the watch thread, and tell which exception ended the program."""
    run = runs.current()
    if run is None:
        return
    from metalassay.child.watch import Watch

    for each in _ends:
        if isinstance(each, Watch):
            each.end()
    profiling = sys.modules.get("metalassay.child.profiling")
    if profiling is not None:
        profiling.end()
    error = getattr(sys, "last_value", None)
    if isinstance(error, BaseException) and _reached_the_top(error.__traceback__):
        from metalassay.errors import reason

        run.send("ended", exception=reason(error), pid=os.getpid())


def _reached_the_top(traceback: TracebackType | None) -> bool:
    """Return whether a traceback begins in the program's module; pytest and others keep theirs there."""
    if traceback is None:
        return False
    code = traceback.tb_frame.f_code
    return code.co_name in ("<module>", "_run_module_as_main")
