"""Note the lines of a program that call what does nothing on a Mac. Imports no metalassay.

Loaded beside the user's torch. The rows are those of ported.toml; only a call by the program's own code
is noted, not one by a library that it uses.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

LEFT_OUT = "(left out)"
_TORCH = os.path.dirname(torch.__file__) + os.sep  # noqa: PTH120  (compared with co_filename)
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120
_STANDARD = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120
# torch.cuda.amp.autocast calls torch.amp.autocast, Adam calls Optimizer, a property calls torch._C.
_BETWEEN = (
    _OURS,
    *(
        os.path.join(_TORCH, *folder.split("/"))  # noqa: PTH118
        for folder in ("amp/", "cuda/amp/", "backends/", "optim/", "utils/data/", "cuda/random.py")
    ),
)
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_WRAPPERS = ("typing_extensions.py", f"{os.sep}warnings.py", f"{os.sep}functools.py")
_LIBRARIES = tuple({path + os.sep for path in (*sysconfig.get_paths().values(), _STANDARD)})


class Watch:
    """Counts calls from ``start`` to ``stop``."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.calls: Counter[tuple[str, str, int, str]] = Counter()
        self._rows = list(rows)
        self._undo: list[Callable[[], None]] = []

    def start(self) -> None:
        """Put a function that notes the call before each that is watched, if this torch has it."""
        by_place: dict[str, list[Mapping[str, Any]]] = {}
        for row in self._rows:
            by_place.setdefault(row["watch"], []).append(row)
            for question in row.get("other_questions", ()):
                answered = {"id": f"not {row['id']}", "watch": question}
                by_place.setdefault(question, []).append(answered)
        for place, rows in by_place.items():
            try:
                self._replace(place, rows)
            except (ImportError, AttributeError, KeyError):  # another torch release
                continue

    def stop(self) -> None:
        """Put the functions back."""
        while self._undo:
            self._undo.pop()()

    def entries(self) -> list[dict[str, Any]]:
        """Return one entry per row and line."""
        names = {call[0] for call in self.calls}
        return [
            {
                "id": name,
                "file": os.path.abspath(file),  # noqa: PTH100
                "line": line,
                "function": function,
                "count": count,
            }
            for (name, file, line, function), count in self.calls.items()
            if not name.startswith("not ") and f"not {name}" not in names
        ]

    def _replace(self, place: str, rows: list[Mapping[str, Any]]) -> None:
        if "@" in place:  # a flag of torch.backends: a descriptor with a function that sets it
            module, _, name = place.partition("@")
            owner = vars(type(importlib.import_module(module)))[name]
            holders: list[tuple[Any, str]] = [(owner, "setter")]
        else:
            module, _, qualified = place.partition(":")
            owner = importlib.import_module(module)
            *outer, name = qualified.split(".")
            for part in outer:
                owner = getattr(owner, part)
            holders = [(owner, name)]
            # torch.cuda.manual_seed is torch.cuda.random.manual_seed, under a second name.
            parts = module.split(".")
            if not outer:
                holders += [
                    (above, name)
                    for above in (
                        sys.modules[".".join(parts[:end])] for end in range(1, len(parts))
                    )
                    if getattr(above, name, None) is getattr(owner, name)
                ]
        original = getattr(*holders[0])
        noting = self._noting(original, rows)
        for holder, attribute in holders:
            setattr(holder, attribute, noting)
            self._undo.append(functools.partial(setattr, holder, attribute, original))

    def _noting(self, original: Any, rows: list[Mapping[str, Any]]) -> Any:
        names = rows[0].get("parameters")
        place = rows[0]["watch"]
        # A user calls these through other functions of torch.
        indirect = place.endswith("__init__") or place.startswith("torch._C:") or "@" in place
        between = _BETWEEN if indirect else (_OURS,)
        signature = None if names else inspect.signature(original)

        def arguments(args: Any, kwargs: Any) -> dict[str, Any]:
            if signature is None:
                return {**dict(zip(names or (), args)), **kwargs}  # noqa: B905  (Python 3.9)
            try:
                bound = signature.bind_partial(*args, **kwargs)
            except TypeError:  # the call itself will say so
                return {}
            bound.apply_defaults()
            given = dict(bound.arguments)
            return {**given, **given.pop("kwargs", {})}

        libraries = any(row.get("libraries") for row in rows)

        @functools.wraps(original)
        def noting(*args: Any, **kwargs: Any) -> Any:
            site = _caller(sys._getframe(1), between, libraries)
            if site is not None:
                given = arguments(args, kwargs)
                for row in rows:
                    if _fits(row.get("when", {}), given):
                        self.calls[(row["id"], *site)] += 1
                        if "without" in row:
                            kwargs.pop(row["without"], None)
            return original(*args, **kwargs)

        return noting


def _fits(when: Mapping[str, list[Any]], given: Mapping[str, Any]) -> bool:
    for name, accepted in when.items():
        outer, _, inner = name.partition(".")
        value = given.get(outer, LEFT_OUT)
        if inner:
            value = value.get(inner) if isinstance(value, dict) else None
        if isinstance(value, torch.device):
            value = value.type
        if not any(
            value is each or (value == each and type(value) is type(each)) for each in accepted
        ):
            return False
    return True


def _caller(
    frame: Any, between: tuple[str, ...], libraries: bool = False
) -> tuple[str, int, str] | None:
    """Return the frame that calls, if it is the program's own; None for a library or torch itself.

    ``between`` are files through which a user calls what is watched. With ``libraries`` a library counts.
    """
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(between) and not file.endswith(_WRAPPERS) and file != "<string>":
            library = file.startswith(_LIBRARIES) or any(name in file for name in _PACKAGES)
            own = not file.startswith((_TORCH, "<frozen")) and (libraries or not library)
            return (file, frame.f_lineno, frame.f_code.co_name) if own else None
        frame = frame.f_back
    return None
