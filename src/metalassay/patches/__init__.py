"""Run-time repairs of upstream bugs, one module a bug, named in bugs/data/ by its row.

Each module has ``TARGET``, the module it repairs, and ``patch()``, a context manager::

    from metalassay.patches import accelerate_empty_shard

    with accelerate_empty_shard.patch():
        trainer.train()

A patch decides by the installed code, not by its version string, whether it is needed; on healthy
code it does nothing. It may be entered again while active, holds for the whole process (classes are
shared between threads), and puts the stock code back when the last user leaves.

``install()`` switches patches on for good, before or after the library is imported::

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
    """Return the patches there are, in the order of the bugs they repair."""
    return tuple(dict.fromkeys(bug.patch for bug in bugs.load() if bug.patch is not None))


def install(*wanted: str) -> None:
    """Switch patches on until ``uninstall`` or the end of the process; without names, all of them.

    A patch whose library is not imported yet waits for it: nothing is imported here. Installing
    twice is the same as once. Raises ``ValueError`` for a name that is no patch.
    """
    unknown = [name for name in wanted if name not in names()]
    if unknown:
        raise ValueError(f"no patch is called {unknown[0]!r}; there are: {', '.join(names())}")
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
    """Switch off what ``install`` switched on, and put the stock code back."""
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
    """Stands first in line, lets the others find the module, and patches it once it has run."""

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
    """The loader of a module that patches wait for; everything but the last step is its own."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)  # get_source, get_filename, … of the real loader

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
