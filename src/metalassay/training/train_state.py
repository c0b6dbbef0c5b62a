"""The state of a training run, which goes into a checkpoint and is restored from one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from metalassay.environment import versions
from metalassay.measure.device import rng_state, set_rng_state
from metalassay.training.averaging import WeightAverage
from metalassay.training.checkpoint import Checkpoint
from metalassay.training.optimizer import FlatAdamW
from metalassay.workloads.registry import Batch


class BatchSource(Protocol):
    """An endless sequence of batches; its position can be stored as JSON."""

    def next(self) -> Batch:
        """Return the batch at the current position and advance."""

    def position(self) -> Any:
        """Return the position of the next batch."""

    def seek(self, position: Any) -> None:
        """Go to a position that ``position`` returned, perhaps in another process.

        Raises ``ValueError`` for what cannot be one.
        """


@dataclass
class TrainState:
    """What changes from step to step; the learning rate depends on ``step`` alone."""

    model: nn.Module
    optimizer: FlatAdamW
    scaler: torch.amp.GradScaler
    source: BatchSource
    device: torch.device
    step: int = 0
    average: WeightAverage | None = None

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Let the model have its averaged weights meanwhile, if it has any."""
        return self.average.used() if self.average else contextlib.nullcontext()

    def capture(self, config: Mapping[str, Any]) -> Checkpoint:
        """Return everything that ``restore`` needs to continue bit for bit."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {
            f"optimizer.{name}": tensor for name, tensor in self.optimizer.tensors().items()
        }
        if self.average:
            tensors |= {f"average.{name}": mean for name, mean in self.average.tensors().items()}
        tensors |= {f"random.{name}": tensor for name, tensor in rng_state(self.device).items()}
        state = {
            "position": self.source.position(),
            "updates": self.optimizer.updates,
            "scaler": self.scaler.state_dict(),
            "device": self.device.type,
            "threads": torch.get_num_threads(),
            "versions": versions.installed(("metalassay", "torch", "numpy", "safetensors")),
        }
        return Checkpoint(self.step, config, tensors, state)

    def restore(self, saved: Checkpoint) -> None:
        """Set the state to what ``capture`` returned, perhaps in another process.

        Raises ``ValueError``, ``KeyError`` or, as torch does, ``RuntimeError`` for one of another run.
        """
        for name, tensor in self.capture(saved.config).tensors.items():
            if name.startswith("random.") and name != "random.cpu" and name not in saved.tensors:
                continue  # it ran on another device; the generator is seeded instead
            found = saved.tensors[name]
            # torch would convert the type, and broadcast the shape.
            if (found.shape, found.dtype) != (tensor.shape, tensor.dtype):
                raise ValueError(f"{name} is {_kind(found)}, and should be {_kind(tensor)}")
        self.source.seek(saved.state["position"])
        self.step = saved.step
        self.model.load_state_dict(with_prefix(saved.tensors, "model."))
        self.optimizer.load(with_prefix(saved.tensors, "optimizer."), saved.state["updates"])
        if self.average:
            self.average.load(with_prefix(saved.tensors, "average."))
        self.scaler.load_state_dict(saved.state["scaler"])
        set_rng_state(self.device, with_prefix(saved.tensors, "random."))


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with ``prefix``, which is removed from the names."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def trained_weights(saved: Checkpoint) -> dict[str, Tensor]:
    """Return the weights of a checkpoint's model to use it with: averaged ones where it has them."""
    tensors = saved.tensors
    return with_prefix(tensors, "model.") | with_prefix(tensors, "average.")


def differences(saved: Checkpoint) -> Iterator[str]:
    """Yield what differs from when ``saved`` was written and changes the last bits of results."""
    state = saved.state
    now = versions.installed(("torch",)).get("torch")
    if state["versions"].get("torch") != now:
        yield f"torch was {state['versions'].get('torch')}, is {now}"
    if state["threads"] != torch.get_num_threads():
        yield f"torch had {state['threads']} threads, has {torch.get_num_threads()}"
