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
import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from types import ModuleType

from metalassay import bugs


def names() -> tuple[str, ...]:
    """Return the names of all patches, in the order of the bugs that they fix."""
    return tuple(dict.fromkeys(bug.patch for bug in bugs.load() if bug.patch is not None))


def install(*wanted: str) -> None:
    """Activate patches until ``uninstall`` or the end of the process; without names, all of them.

    Imports no library: a patch is applied once its library has been imported. Installing a patch
    twice has no further effect. Raises ``ValueError`` for a name that is not a patch.
    """
    unknown = [name for name in wanted if name not in names()]
    if unknown:
        raise ValueError(
            f"no patch is called {unknown[0]!r}; the patches are: {', '.join(names())}"
        )
    with _lock:
        for name in wanted or names():
            if name not in _installed:
                _installed[name] = ExitStack()
                target = importlib.import_module(f"{__name__}.{name}").TARGET
                if target in sys.modules:
                    _enter(name)
                else:
                    _waiting.setdefault(target, []).append(name)
        if _waiting and _FINDER not in sys.meta_path:
            sys.meta_path.insert(0, _FINDER)


def uninstall() -> None:
    """Deactivate all installed patches and restore the stock code."""
    with _lock:
        _waiting.clear()
        if _FINDER in sys.meta_path:
            sys.meta_path.remove(_FINDER)
        while _installed:
            _installed.popitem()[1].close()


_lock = threading.RLock()
_installed: dict[str, ExitStack] = {}
_waiting: dict[str, list[str]] = {}


def _enter(name: str) -> None:
    _installed[name].enter_context(importlib.import_module(f"{__name__}.{name}").patch())


class _Finder(importlib.abc.MetaPathFinder):
    """A finder that comes first, lets the others find the module, and has it patched after loading."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _waiting:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(fullname, path, target)):
                if spec.loader is not None:
                    spec.loader = _PatchingLoader(spec.loader)
                return spec
        return None


class _PatchingLoader(importlib.abc.Loader):
    """A wrapper around a module's loader that applies the waiting patches after execution."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)  # get_source, get_filename and others

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        with _lock:
            for name in _waiting.pop(module.__name__, []):
                _enter(name)
            if not _waiting and _FINDER in sys.meta_path:
                sys.meta_path.remove(_FINDER)


_FINDER = _Finder()
