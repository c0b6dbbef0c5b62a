"""Writes a program of a few lines that shows a difference by itself: one operator, its inputs in a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metalassay import files
from metalassay.ask.first_difference import Difference

_TEXT = '''\
"""{operator} on {device} and on the CPU with the same inputs: {what}."""
import torch
from safetensors.torch import load_file

inputs = load_file(__file__.removesuffix(".py") + ".safetensors")
def at(device):
{views}    return torch.ops.aten.{operator}({call})
here, there = at("{device}"), at("cpu")
for one, other in zip(*([x] if isinstance(x, torch.Tensor) else x for x in (here, there))):
    if one is not None: print((one.cpu().double() - other.double()).abs().max().item())
print(torch.__version__)
'''


class _Inputs:
    """The tensors of a call by name, and how each is made of what is in the file."""

    def __init__(self) -> None:
        self.stored: dict[str, Tensor] = {}
        self.views: list[str] = []
        self._names: dict[int, str] = {}

    def code(self, value: Any) -> str:
        """Return the expression for an argument."""
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, torch.device):
            return "device"
        if isinstance(value, (list, tuple)):
            inner = ", ".join(self.code(each) for each in value)
            return f"[{inner}]"
        if value is None or isinstance(
            value, (bool, int, str, torch.dtype, torch.layout, torch.memory_format)
        ):
            return repr(value)
        return f"float({str(value)!r})" if isinstance(value, float) else repr(value)

    def _tensor(self, value: Tensor) -> str:
        storage = value.untyped_storage()
        key = storage.data_ptr()
        if key not in self._names:
            name = f"t{len(self._names)}"
            flat = value.as_strided((storage.nbytes() // value.element_size(),), (1,), 0)
            self.stored[name] = flat.contiguous()
            self._names[key] = name
            self.views.append(f'    {name} = inputs["{name}"].to(device, copy=True)\n')
        shape, stride = tuple(value.shape), tuple(value.stride())
        return f"{self._names[key]}.as_strided({shape}, {stride}, {value.storage_offset()})"


def write(difference: Difference, device: str, folder: Path) -> tuple[Path, Path]:
    """Write the program and its inputs to ``folder``; return both paths."""
    from safetensors.torch import save

    inputs = _Inputs()
    arguments = [inputs.code(each) for each in difference.arguments]
    keywords = [f"{name}={inputs.code(value)}" for name, value in _sorted(difference.keywords)]
    text = _TEXT.format(
        operator=_overload(difference.operator),
        device=device,
        what=difference.what.replace('"', "'"),
        views="".join(inputs.views),
        call=", ".join([*arguments, *keywords]),
    )
    stem = "difference_" + re.sub(r"\W+", "_", difference.operator).strip("_")
    files.make_folder(folder)
    program, tensors = folder / f"{stem}.py", folder / f"{stem}.safetensors"
    with files.replacing(tensors) as stream:
        stream.buffer.write(save(inputs.stored))
    files.write_atomically(program, text)
    return program, tensors


def _overload(operator: str) -> str:
    return operator if "." in operator else f"{operator}.default"


def _sorted(keywords: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(keywords.items())
