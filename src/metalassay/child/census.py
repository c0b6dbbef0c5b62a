"""Count the live tensors by kind, twice, and find out what holds those that became more.

A kind is type, shape, dtype, device and the operation that made it. Counted are tensors that Python knows
of: not what C++ alone holds, such as activations that an autograd graph keeps.
"""

from __future__ import annotations

import gc
import inspect
import sys
from collections import Counter
from dataclasses import dataclass, field
from types import FrameType, ModuleType
from typing import Any

from metalassay.child.mps_memory import live_tensors

Kind = tuple[str, tuple[int, ...], str, str, str]

_MOST_KINDS = 3
_EXAMPLES = 3
_MOST_CLIMBS = 3  # a list in a dict in an attribute


@dataclass
class Census:
    """The counts of one process; the second count and those after it tell what grew."""

    torch: ModuleType
    _before: Counter[Kind] | None = None
    _sizes: dict[Kind, int] = field(default_factory=dict)

    def take(self) -> dict[str, Any]:
        """Return the values of a message "census": tensors, megabytes of their storages, what grew."""
        # A count must not run the code of subclasses, and leaves references to no tensor behind.
        with self.torch._C.DisableTorchFunctionSubclass():
            return self._take()

    def _take(self) -> dict[str, Any]:
        tensors = live_tensors(self.torch)
        counts: Counter[Kind] = Counter()
        storages: dict[int, int] = {}
        newest: dict[Kind, list[Any]] = {}
        for tensor in tensors:
            kind = _kind(tensor)
            counts[kind] += 1
            examples = newest.setdefault(kind, [])
            examples.append(tensor)
            if len(examples) > _EXAMPLES:
                del examples[0]
            self._add_storage(tensor, storages)
        del tensors
        grown = [] if self._before is None else _grown(self._before, counts, newest)
        self._before = counts
        return {
            "tensors": sum(counts.values()),
            "megabytes": round(sum(storages.values()) / 1e6, 1),
            "grown": grown,
        }

    def _add_storage(self, tensor: Any, storages: dict[int, int]) -> None:
        try:
            storage = tensor.untyped_storage()
            storages[storage._cdata] = storage.nbytes()
        except (NotImplementedError, RuntimeError):  # sparse, fake or functional: no storage
            return


def _kind(tensor: Any) -> Kind:
    made_by = "" if tensor.grad_fn is None else type(tensor.grad_fn).__name__
    return (
        type(tensor).__name__,
        tuple(tensor.shape),
        str(tensor.dtype).removeprefix("torch."),
        str(tensor.device),
        made_by,
    )


def _grown(before: Counter[Kind], after: Counter[Kind], newest: dict[Kind, list[Any]]) -> list[str]:
    """Describe the kinds that grew the most in number, each with a holder of its newest tensors."""
    more = (after - before).most_common(_MOST_KINDS)
    return [_describe(kind, count, _holder(newest[kind])) for kind, count in more]


def _describe(kind: Kind, count: int, holder: str) -> str:
    name, shape, dtype, device, made_by = kind
    noun = name if name != "Tensor" else "tensor" if count == 1 else "tensors"
    origin = f" made by {made_by}" if made_by else ""
    held = f", held by {holder}" if holder else ""
    return f"{count:,} more {noun} {list(shape)} {dtype} on {device}{origin}{held}"


def _holder(examples: list[Any]) -> str:
    """Return what holds most of the examples, such as "list `losses` in main (train.py:31)"."""
    names = _names_of_containers()
    own = {id(examples)}
    found: Counter[str] = Counter()
    for example in examples:
        holder = _climb(example, names, own)
        if holder:
            found[holder] += 1
    return found.most_common(1)[0][0] if found else ""


def _climb(thing: Any, names: dict[int, str], own: set[int]) -> str:
    """Follow the references to a thing upwards until something has a name."""
    level, seen = [thing], {id(thing)} | own
    for _ in range(_MOST_CLIMBS):
        above: list[Any] = []
        for referrer in gc.get_referrers(*level):
            if id(referrer) in seen or referrer is level or isinstance(referrer, FrameType):
                continue
            seen.add(id(referrer))
            if id(referrer) in names:
                return names[id(referrer)]
            above.append(referrer)
            if not isinstance(referrer, (list, tuple, dict, set)) and not _is_container(referrer):
                return f"an attribute of {_full_name(type(referrer))}"
        if not above:
            return ""
        own.add(id(above))
        level = above
    return ""


def _is_container(thing: Any) -> bool:
    module: str = type(thing).__module__
    return module in ("builtins", "collections")


def _names_of_containers() -> dict[int, str]:
    """Return names of the containers that are variables of a running function or of a module."""
    names: dict[int, str] = {}
    for name, module in list(sys.modules.items()):
        if name == "__mp_main__":  # multiprocessing's second name of the program
            continue
        values = getattr(module, "__dict__", None)
        if isinstance(values, dict) and not name.startswith("metalassay."):
            where = "the program" if name == "__main__" else name
            _name_all(values, f"in {where}", names)
    frames = list(sys._current_frames().values())
    while frames:
        frame: FrameType | None = frames.pop()
        while frame is not None:
            if frame.f_code.co_flags & inspect.CO_OPTIMIZED and not _is_ours(frame):
                file = frame.f_code.co_filename.rpartition("/")[2]
                variables = frame.f_locals
                _name_all(variables, f"in {frame.f_code.co_name} ({file}:{frame.f_lineno})", names)
                if isinstance(variables, dict):
                    # Before Python 3.13 this is a copy that the frame keeps, and with it the tensors.
                    variables.clear()
            # In the end None: a frame that refers to itself would live on, with all below it.
            frame = frame.f_back
    return names


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("metalassay.")


def _name_all(variables: Any, where: str, names: dict[int, str]) -> None:
    for name, value in list(variables.items()):
        if isinstance(name, str) and not name.startswith("__") and _is_named_container(value):
            names[id(value)] = f"{type(value).__name__} `{name}` {where}"


def _is_named_container(value: Any) -> bool:
    return type(value).__name__ in ("list", "dict", "set", "deque", "defaultdict", "OrderedDict")


def _full_name(owner: type) -> str:
    module = "" if owner.__module__ in ("builtins", "__main__") else f"{owner.__module__}."
    return f"{module}{owner.__qualname__}"
