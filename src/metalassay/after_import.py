"""Do something right after a module has been imported, by whichever finder and loader.

`AfterImport` is a finder: the first on ``sys.meta_path``, it lets the others find the module and wraps the
loader that they name. Once the module has been executed, its loader is the original one again, so that
``inspect``, ``importlib.resources``, ``importlib.reload`` and ``runpy`` see nothing of this.

It is loaded in each Python process of `metalassay run` as Python starts, so it imports next to nothing;
Python 3.10.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


class AfterImport:
    """A finder that calls functions with modules that have just been executed.

    An exception of such a function is raised by the import.
    """

    def __init__(self) -> None:
        self._actions: dict[str, Callable[[ModuleType], None]] = {}
        self._folders: dict[str, str] = {}

    def add(self, name: str, action: Callable[[ModuleType], None]) -> None:
        """Have ``action`` called each time that the module of that name has been executed."""
        self._actions[name] = action

    def remove(self, name: str) -> None:
        """Let the module of that name be imported as usual."""
        self._actions.pop(name, None)

    def provide(self, name: str, folder: str) -> None:
        """Let a top-level package be found in ``folder``, which is not on ``sys.path``."""
        self._folders[name] = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what the other finders find, to be executed by a loader that calls the action."""
        folder = self._folders.get(fullname)
        if folder is not None:
            return PathFinder.find_spec(fullname, [folder], target)
        action = self._actions.get(fullname)
        if action is None:
            return None
        # Those after this one: of two that ask all others, each would ask the other forever.
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            # Before Python 3.12 a finder may have only find_module, which was removed then.
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(fullname, path, target)
            if spec is not None:
                loader: Any = spec.loader
                # A finder may return one spec twice.
                known = isinstance(loader, _Loader) and loader.action is action
                if hasattr(loader, "exec_module") and not known:
                    spec.loader = _Loader(loader, action)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """A loader of one module, which steps aside before it executes the module."""

    def __init__(self, loader: Any, action: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self.action = action

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":  # not set yet, while being copied
            raise AttributeError(name)
        return getattr(self._loader, name)  # get_source, get_code, get_resource_reader and others

    def create_module(self, spec: ModuleSpec) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        # A module may put another object in its place, as transformers does.
        self.action(sys.modules.get(module.__name__, module))
