"""A training step of the user's model: loss, backward pass and AdamW, ending when the device has finished."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from metalassay.ask.contract import File
from metalassay.measure import device

RATE = 1e-5
"""The learning rate: small, so that hundreds of steps do not change what a step costs."""


def make(
    file: File,
    where: torch.device,
    batch_size: int,
    dtype: str = "float32",
    around: Callable[[nn.Module], nn.Module] = lambda model: model,
) -> Callable[[], torch.Tensor]:
    """Return a function that takes a step and returns its loss, still on the device.

    A ``dtype`` of 16 bits is reached by autocast; float16 also scales the loss, as it has to be trained.
    ``around`` returns what is called in place of the model.
    """
    subject = file.subject(batch_size, where)
    model = around(subject.model)
    optimizer = torch.optim.AdamW(subject.model.parameters(), lr=RATE)
    scaler = torch.amp.GradScaler(where.type, enabled=dtype == "float16")

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        with precision(where, dtype):
            loss = subject.loss_of(model)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        loss = loss.detach()
        device.synchronize(where)
        return loss

    return step


def precision(where: torch.device, dtype: str) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which a forward pass computes in ``dtype``."""
    if dtype == "float32":
        return contextlib.nullcontext()
    return torch.autocast(where.type, dtype=getattr(torch, dtype))
