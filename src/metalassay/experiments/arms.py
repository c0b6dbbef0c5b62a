"""The experiments behind claims: each has arms, and running an arm once returns its figures.

An experiment returns a builder per arm, since every arm is built again for each round (``rounds``). The first
arm is the base with which the others are compared. Which claim an experiment decides is in
claims/experiments.toml. Those that need a process of their own per arm are in ``process_arms``.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from metalassay.errors import UserError
from metalassay.experiments import process_arms
from metalassay.experiments.rounds import Arm, Builders, Figures
from metalassay.machine import power
from metalassay.measure import device as devices
from metalassay.workloads import flop_counter, registry
from metalassay.workloads.models.two_branch_cnn import TwoBranchCNN, TwoBranchCNNConfig

BATCH = 64


def timed(step: Callable[[], object], calls: int = 3) -> Arm:
    """Return an arm that times a step which ends in a synchronize, after two calls to warm up."""
    step()
    step()

    def arm() -> Figures:
        started = time.perf_counter()
        for _ in range(calls):
            step()
        return {"milliseconds a step": (time.perf_counter() - started) / calls * 1e3}

    return arm


def training(
    device: torch.device, build: Callable[[], nn.Module] = TwoBranchCNN, dtype: str = "float32"
) -> Callable[[], object]:
    """Return a training step of the two-branch CNN, or of a variant of it."""
    recipe = replace(registry.get("transit-cnn"), build=build)
    return registry.make(recipe, "train", device, dtype, BATCH).step


def with_batch_norm() -> nn.Module:
    """Return the two-branch CNN with BatchNorm where it has LayerNorm."""
    model = TwoBranchCNN()
    model.norm = nn.BatchNorm1d(128)  # type: ignore[assignment]
    return model


def layer_norm(device: torch.device) -> Builders:
    """Is LayerNorm faster than BatchNorm?"""
    return {
        "BatchNorm": lambda: timed(training(device, with_batch_norm)),
        "LayerNorm": lambda: timed(training(device)),
    }


def mixed_precision(device: torch.device) -> Builders:
    """Is autocast faster than float32?"""
    half = "bfloat16" if device.type == "cpu" else "float16"
    return {
        "float32": lambda: timed(training(device)),
        half: lambda: timed(training(device, dtype=half)),
    }


def kernels(device: torch.device) -> Builders:
    """Are the guide's kernel sizes faster than others?"""

    def variant(wide: tuple[int, int, int], narrow: tuple[int, int, int]) -> Arm:
        def build() -> nn.Module:
            return TwoBranchCNN(TwoBranchCNNConfig(global_kernels=wide, local_kernels=narrow))

        # Larger kernels do more work: the comparable figure is the work done per second.
        flop = flop_counter.count(training(torch.device("cpu"), build)).flop
        arm = timed(training(device, build))

        def rated() -> Figures:
            return {"GFLOP/s": flop / arm()["milliseconds a step"] / 1e6}

        return rated

    own = {"7,5,5 and 5,3,3": functools.partial(variant, (7, 5, 5), (5, 3, 3))}
    others = {f"all {k}": functools.partial(variant, (k, k, k), (k, k, k)) for k in (3, 5, 7, 9)}
    return own | others


EPOCH, EPOCHS = 5, 20
"""Batches of an epoch, and epochs of an arm: the cache is cleared once in the middle with "every 10 epochs"."""


def empty_cache(device: torch.device) -> Builders:
    """What does clearing the cache cost, and what does it save, with batches of one size and of many?

    A cache grows where shapes vary, as with texts of many lengths: each new size is new memory, and
    what fits none is kept.
    """
    if device.type == "cpu":
        raise UserError("the CPU has no memory cache to clear", "run it where MPS is usable")
    sizes = random.Random(0)  # noqa: S311 - sizes, not secrets
    varying = [sizes.randrange(1, BATCH + 1) for _ in range(EPOCH * EPOCHS)]

    def every(batches: int) -> Arm:
        def train(numbers: list[int]) -> tuple[float, float]:
            model = TwoBranchCNN().to(device)
            optimizer = torch.optim.AdamW(model.parameters())
            devices.synchronize(device)
            devices.empty_cache(device)
            held = 0
            started = time.perf_counter()
            for batch, number in enumerate(numbers, 1):
                views = [torch.randn(number, 1, bins, device=device) for bins in (2001, 201)]
                optimizer.zero_grad()
                model(*views).square().mean().backward()
                optimizer.step()
                # Before the cache is cleared: it then has all that the step needed at once.
                held = max(held, devices.memory(device)["driver"] or 0)
                if batches and batch % batches == 0:
                    devices.empty_cache(device)
            devices.synchronize(device)
            return (time.perf_counter() - started) / len(numbers) * 1e3, held / 1e6

        train(varying[:2])  # compiles the kernels

        def arm() -> Figures:
            of_one, held_of_one = train([BATCH] * len(varying))
            of_many, held_of_many = train(varying)
            return {
                "milliseconds a step, one shape": of_one,
                "MB held at most, one shape": held_of_one,
                "milliseconds a step, varying shapes": of_many,
                "MB held at most, varying shapes": held_of_many,
            }

        return arm

    return {
        "never": lambda: every(0),
        "every 10 epochs": lambda: every(10 * EPOCH),
        "every 10 batches": lambda: every(10),
        "after each batch": lambda: every(1),
    }


def synchronize(device: torch.device) -> Builders:
    """How much memory is held without synchronizing?"""
    if device.type != "mps":
        raise UserError("this measures how far MPS memory grows", "run it where MPS is usable")

    def every(batches: int) -> Arm:
        model = TwoBranchCNN().to(device)
        views = [torch.randn(BATCH, 1, bins, device=device) for bins in (2001, 201)]
        optimizer = torch.optim.AdamW(model.parameters())

        def arm() -> Figures:
            devices.synchronize(device)
            devices.empty_cache(device)
            most = 0
            for batch in range(100):
                optimizer.zero_grad()
                model(*views).square().mean().backward()
                optimizer.step()
                if batches and batch % batches == 0:
                    devices.synchronize(device)
                most = max(most, devices.memory(device)["driver"] or 0)
            devices.synchronize(device)
            return {"MB held at most": most / 1e6}

        return arm

    return {"never": lambda: every(0), "every 50 batches": lambda: every(50)}


class LightCurves(torch.utils.data.Dataset[tuple[torch.Tensor, ...]]):
    """A small data set in memory: 1,024 samples of both views."""

    def __init__(self) -> None:
        self.views = [torch.randn(1024, 1, bins) for bins in (2001, 201)]

    def __len__(self) -> int:
        return 1024

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        return tuple(view[index] for view in self.views)


def workers(device: torch.device) -> Builders:
    """Do workers load faster? On the CPU, whatever the device."""

    def loading(number: int) -> Arm:
        kept = {"persistent_workers": True, "prefetch_factor": 2} if number else {}
        loader = torch.utils.data.DataLoader(
            LightCurves(),
            batch_size=BATCH,
            num_workers=number,
            **kept,  # type: ignore[arg-type]
        )

        def arm() -> Figures:
            started = time.perf_counter()
            for _ in loader:
                pass
            return {"milliseconds a pass": (time.perf_counter() - started) * 1e3}

        arm()
        return arm

    return {f"num_workers={number}": functools.partial(loading, number) for number in (0, 4)}


def speed(device: torch.device) -> Builders:
    """How many samples a second does the two-branch CNN train and classify?"""

    def rate(mode: str, batch: int) -> Arm:
        recipe = registry.get("transit-cnn")
        arm = timed(registry.make(recipe, mode, device, "float32", batch).step, calls=10)
        return lambda: {"samples a second": batch / arm()["milliseconds a step"] * 1e3}

    return {
        f"{mode}, batch {batch}": functools.partial(rate, mode, batch)
        for mode in ("train", "infer")
        for batch in (64, 256)
    }


def small_gpt(device: torch.device) -> Builders:
    """How many steps a second does the smallest GPT train?"""

    def rate() -> Arm:
        recipe = registry.get("gpt-tiny")
        arm = timed(registry.make(recipe, "train", device, "float32", 4).step, calls=10)
        return lambda: {"steps a second": 1e3 / arm()["milliseconds a step"]}

    return {"gpt-tiny, batch 4": rate}


_METERED = 3.0  # seconds of work per reading; the counters advance in steps of up to 100 ms


def watts(device: torch.device) -> Builders:
    """How many watts do training and inference draw, as the chip's own counters model them?"""
    reader = power.find()
    if isinstance(reader, str):
        raise UserError(reader, "metalassay bench says what it needs to read watts")

    def drawn(mode: str) -> Arm:
        step = registry.make(registry.get("transit-cnn"), mode, device, "float32", BATCH).step
        step()

        def arm() -> Figures:
            steps, started = 0, time.perf_counter()
            with power.watch(reader) as meter:
                while time.perf_counter() < started + _METERED:
                    step()
                    steps += 1
            if meter.power.watts is None:
                raise UserError(meter.power.why, "run the same command again")
            rate = steps * BATCH / meter.power.seconds
            return {"watts": meter.power.watts, "samples a joule": rate / meter.power.watts}

        return arm

    return {"training": lambda: drawn("train"), "inference": lambda: drawn("infer")}


EXPERIMENTS: dict[str, Callable[[torch.device], Builders]] = {
    "empty-cache": empty_cache,
    "environment": process_arms.environment,
    "kernels": kernels,
    "layer-norm": layer_norm,
    "mixed-precision": mixed_precision,
    "small-gpt": small_gpt,
    "speed": speed,
    "synchronize": synchronize,
    "threads": process_arms.threads,
    "warm-up": process_arms.warm_up,
    "watts": watts,
    "workers": workers,
}
