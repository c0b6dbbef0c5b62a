"""The moving parts of a training run, and how they go into a checkpoint and come out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from metalassay.environment import versions
from metalassay.measure.device import rng_state, set_rng_state
from metalassay.training.checkpoint import Checkpoint
from metalassay.training.optimizer import FlatAdamW
from metalassay.workloads.registry import Batch


class Source(Protocol):
    """Batches without end, from a position that fits into JSON."""

    def next(self) -> Batch:
        """Return the batch at the position, and move on."""

    def position(self) -> Any:
        """Return where the next batch comes from."""

    def seek(self, position: Any) -> None:
        """Go to what ``position`` returned, perhaps in another process."""


@dataclass
class Running:
    """What changes from step to step; the learning rate follows from ``step`` alone."""

    model: nn.Module
    optimizer: FlatAdamW
    scaler: torch.amp.GradScaler
    source: Source
    device: torch.device
    step: int = 0

    def capture(self, config: Mapping[str, Any]) -> Checkpoint:
        """Return all that ``restore`` needs to go on with the same bits."""
        tensors = {f"model.{name}": each for name, each in self.model.state_dict().items()}
        tensors |= {f"optimizer.{name}": each for name, each in self.optimizer.tensors().items()}
        tensors |= {f"random.{name}": each for name, each in rng_state(self.device).items()}
        state = {
            "position": self.source.position(),
            "updates": self.optimizer.updates,
            "scaler": self.scaler.state_dict(),
            "device": self.device.type,
            "threads": torch.get_num_threads(),
            "versions": versions.installed(("metalassay", "torch", "numpy", "safetensors")),
        }
        return Checkpoint(self.step, config, tensors, state)

    def restore(self, found: Checkpoint) -> None:
        """Take over what ``capture`` returned, perhaps in another process."""
        self.step = found.step
        self.model.load_state_dict(part(found.tensors, "model."))
        self.optimizer.load(part(found.tensors, "optimizer."), found.state["updates"])
        self.scaler.load_state_dict(found.state["scaler"])
        set_rng_state(self.device, part(found.tensors, "random."))
        self.source.seek(found.state["position"])


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose name starts with ``prefix``, without it."""
    return {k.removeprefix(prefix): each for k, each in tensors.items() if k.startswith(prefix)}


def differences(found: Checkpoint) -> Iterator[str]:
    """Say what is other than when ``found`` was written, and changes the last bits."""
    state = found.state
    now = versions.installed(("torch",)).get("torch")
    if state["versions"].get("torch") != now:
        yield f"torch was {state['versions'].get('torch')}, is {now}"
    if state["threads"] != torch.get_num_threads():
        yield f"torch had {state['threads']} threads, has {torch.get_num_threads()}"
