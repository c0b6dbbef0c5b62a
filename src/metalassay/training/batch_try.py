"""Try one batch size: a few steps on random numbers, in a process that may run out of memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from metalassay.errors import UserError
from metalassay.measure import device
from metalassay.training import dry_run, loop
from metalassay.training.gpt import cross_entropy, shape
from metalassay.training.loop import Recipe, Task
from metalassay.training.transit import task as transit
from metalassay.workloads.models.tiny_gpt import TinyGPT
from metalassay.workloads.registry import Batch

MOST_STEPS, MOST_SECONDS = 8, 2.0  # after a first step, which is not counted
WHOLE, NEAR = 2001, 201  # the points of the two views


@dataclass(frozen=True)
class Same:
    """The same batch for ever."""

    batch: Batch

    def next(self) -> Batch:
        """Return the batch."""
        return self.batch

    def position(self) -> Any:
        """Return nothing: there is no position."""

    def seek(self, position: Any) -> None:
        """Do nothing."""


def gpt_batch(options: Mapping[str, Any]) -> int:
    """Run a few steps of the mini GPT of ``options`` and print what was measured as JSON."""
    _, config = shape.of(options["size"], {name: options[name] for name in shape.FIELDS})
    batch = options["batch_size"] // options["accumulate"]
    where = device.resolve(options["device"])
    in_blocks = where.type == "cpu" and options["dtype"] == "float32"
    try:
        dry_run.require_memory(
            shape.step_bytes(config, batch, in_blocks=in_blocks),
            where,
            "batch",
            insist=options["ignore_memory"],
        )
    except UserError as error:
        print(json.dumps({"fits": False, "why": error.message}))
        return 0
    tokens = torch.randint(0, config.vocabulary, (batch, config.context + 1))
    data = Batch((tokens[:, :-1].contiguous(),), tokens[:, 1:].contiguous())
    return _try(TinyGPT(config), cross_entropy.loss, data, batch * config.context, options, where)


def transit_batch(options: Mapping[str, Any]) -> int:
    """Run a few steps of the transit classifier of ``options`` and print what was measured as JSON."""
    batch = options["batch_size"] // options["accumulate"]
    where = device.resolve(options["device"])
    inputs = (torch.randn(batch, 1, WHOLE), torch.randn(batch, 1, NEAR))
    data = Batch(inputs, torch.randint(0, 2, (batch,)).float())
    model = transit.model_of(options["size"])
    return _try(model, transit.loss, data, batch, options, where)


def _try(
    model: nn.Module,
    loss: Callable[[nn.Module, Batch], Tensor],
    batch: Batch,
    items: int,
    options: Mapping[str, Any],
    where: torch.device,
) -> int:
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    parts = options["accumulate"]
    recipe = Recipe(100, 1e-4, accumulate=parts, dtype=options["dtype"])
    task = Task({}, model, Same(batch), loss, "", items)
    loop.require_supported(recipe, where)
    state = loop.start(task, recipe, where)
    seconds: list[float] = []
    for number in range(1 + MOST_STEPS):
        began = time.perf_counter()
        loop.update(task, state, recipe)
        device.synchronize(where)
        if number:
            seconds.append(time.perf_counter() - began)
        if seconds and sum(seconds) >= MOST_SECONDS:
            break
    measured = min(seconds)  # what else runs here only ever makes a step slower
    print(
        json.dumps(
            {
                "fits": True,
                "per_second": items * parts / measured,
                "seconds": measured,
                **device.memory(where),
            }
        )
    )
    return 0
