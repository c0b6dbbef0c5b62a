"""Run-time fixes of upstream bugs, one module per bug; the row in bugs/data/ names the module.

Each module has ``TARGET``, the module that it patches, and ``patch()``, a context manager::

    from metalassay.patches import accelerate_empty_shard

    with accelerate_empty_shard.patch():
        trainer.train()

A patch inspects the installed code, not its version, to decide whether it is needed; on healthy code
it does nothing. It may be entered again while active, applies to the whole process (classes are
shared between threads), and restores the stock code when the last user leaves.

``install()`` activates patches permanently, before or after the library is imported::

    import metalassay.patches

    metalassay.patches.install()  # imports neither torch nor accelerate
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from types import ModuleType
from typing import Any

from metalassay.after_import import AfterImport


def names() -> tuple[str, ...]:
    """Return the names of all patches, in the order of the bugs that they fix."""
    # Here, since the bugs need the package packaging, which a program's environment may not have.
    from metalassay import bugs

    return tuple(dict.fromkeys(bug.patch for bug in bugs.load() if bug.patch is not None))


def install(*wanted: str) -> None:
    """Activate patches until ``uninstall`` or the end of the process; without names, all of them.

    Imports no library: a patch is applied once its library has been imported. Installing a patch
    twice has no further effect. Raises ``ValueError`` for a name that is not a patch, and what a patch
    raises if its library is there and does not look as expected.
    """
    found = {name: load(name) for name in wanted or names()}
    with _lock:
        for name, patch in found.items():
            if name in _installed:
                continue
            if patch.TARGET in sys.modules:
                _enter(name, patch)
            else:
                _installed[name] = None
                _FINDER.add(patch.TARGET, _enter_waiting)
                if _FINDER not in sys.meta_path:
                    sys.meta_path.insert(0, _FINDER)


def uninstall() -> None:
    """Deactivate all installed patches and restore the stock code."""
    with _lock:
        if _FINDER in sys.meta_path:
            sys.meta_path.remove(_FINDER)
        while _installed:
            name, entered = _installed.popitem()
            _FINDER.remove(load(name).TARGET)
            if entered is not None:
                entered[0].close()


def applied() -> Mapping[str, bool]:
    """Return the installed patches whose library has been imported, and whether each was needed."""
    return {name: entered[1] for name, entered in _installed.items() if entered is not None}


def load(name: str) -> Any:
    """Return the module of a patch; raises ``ValueError`` for a name that is not a patch."""
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
    raise ValueError(f"no patch is called {name!r}; the patches are: {', '.join(names())}")


_lock = threading.RLock()
_installed: dict[str, tuple[ExitStack, bool] | None] = {}
"""The entered context of each patch and whether it was needed; None until its library is imported."""


def _enter(name: str, patch: Any) -> None:
    stack = ExitStack()
    needed = stack.enter_context(patch.patch())
    _installed[name] = (stack, needed)


def _enter_waiting(module: ModuleType) -> None:
    with _lock:
        waiting = {name: load(name) for name, entered in _installed.items() if entered is None}
        for name, patch in waiting.items():
            if module.__name__ == patch.TARGET:
                del _installed[name]  # should it fail
                _enter(name, patch)
        _FINDER.remove(module.__name__)
        if None not in _installed.values() and _FINDER in sys.meta_path:
            sys.meta_path.remove(_FINDER)


_FINDER = AfterImport()
