"""The tensors that emulator_fuzz.py passes to operators: of every layout and kind that Python can make."""

from __future__ import annotations

from collections.abc import Callable

import torch


class Subclass(torch.Tensor):
    """A subclass that changes nothing."""


def T(shape: tuple[int, ...], dtype: str, kind: str, device: str) -> torch.Tensor:  # noqa: N802
    """Return a tensor with these sizes, or with similar ones where the kind needs others."""
    kind_of_number: torch.dtype = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(len(shape))
    on_cpu = torch.randint(0, 3, shape, generator=generator).to(kind_of_number)
    tensor = on_cpu.to(device)
    return _MAKE[kind](tensor)


def _floating(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.is_floating_point() or tensor.is_complex() else tensor.float()


def _matrix(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dim() == 2 else tensor.reshape(1, -1)


def _nested(tensor: torch.Tensor, layout: torch.layout) -> torch.Tensor:
    parts = [_matrix(tensor), _matrix(tensor)[:, :1].reshape(1, -1)]
    return torch.nested.nested_tensor(parts, layout=layout)


def _inference(tensor: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return tensor.clone()


def _offset(tensor: torch.Tensor) -> torch.Tensor:
    return torch.cat([tensor.new_zeros(3), tensor.flatten()])[3:].view(tensor.shape)


_MAKE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "plain": lambda t: t,
    "transposed": lambda t: t.transpose(0, -1) if t.dim() else t,
    "sliced": lambda t: torch.cat([t, t], -1)[..., ::2] if t.dim() else t,
    "expanded": lambda t: (
        t.unsqueeze(0).expand(2, *t.shape)[0] if t.dim() > 3 else t.expand(2, *t.shape)
    ),
    "offset": _offset,
    "grad": lambda t: _floating(t).clone().requires_grad_(),
    "parameter": lambda t: torch.nn.Parameter(_floating(t)),
    "subclass": lambda t: t.as_subclass(Subclass),
    "conj": lambda t: t.to(torch.complex64).conj(),
    "neg": lambda t: t.to(torch.complex64).conj().imag,
    "zero": lambda t: torch._efficientzerotensor(t.shape, dtype=t.dtype, device=t.device),
    "sparse": lambda t: t.to_sparse(),
    "csr": lambda t: _matrix(t).to_sparse_csr(),
    "nested": lambda t: _nested(t, torch.strided),
    "jagged": lambda t: _nested(t, torch.jagged),
    "channels_last": lambda t: (
        t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t
    ),
    "overlapping": lambda t: (
        t.as_strided((2, *t.shape[1:]), (0, *t.stride()[1:])) if t.numel() else t
    ),
    "wrapped": lambda t: t.flatten()[0] if t.numel() else t,
    "inference": _inference,
    "functional": torch._to_functional_tensor,
}
