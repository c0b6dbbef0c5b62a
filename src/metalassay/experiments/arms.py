"""The experiments behind some claims: each has arms, and running an arm once returns its figures.

An experiment returns a builder per arm, since tools/claim_experiments.py builds every arm again for
each round. The first arm is the base with which the others are compared.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import torch
from torch import nn

from metalassay.errors import UserError
from metalassay.workloads import flop_counter, registry
from metalassay.workloads.models.two_branch_cnn import TwoBranchCNN, TwoBranchCNNConfig

Figures = dict[str, float]
Arm = Callable[[], Figures]
Builders = dict[str, Callable[[], Arm]]
GUIDE_000 = {
    "PYTORCH_MPS_HIGH_WATERMARK_RATIO": "0.0",
    **dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
        str(os.cpu_count()),
    ),
    "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:128",
    "HF_HUB_CACHE_SIZE": "2GB",
    "MALLOC_ARENA_MAX": "4",
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "true",
}
"""What guide 000 exports on a Mac with 16 GB or more, as far as it applies while training."""
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
            took = arm()
            return {**took, "GFLOP/s": flop / took["milliseconds a step"] / 1e6}

        return rated

    own: Builders = {"7,5,5 and 5,3,3": functools.partial(variant, (7, 5, 5), (5, 3, 3))}
    others: Builders = {
        f"all {k}": functools.partial(variant, (k, k, k), (k, k, k)) for k in (3, 5, 7, 9)
    }
    return own | others


def empty_cache(device: torch.device) -> Builders:
    """What does clearing the cache cost?"""
    empty = {"mps": torch.mps.empty_cache, "cuda": torch.cuda.empty_cache}.get(device.type)
    if empty is None:
        raise UserError("the CPU has no memory cache to clear", "run it where MPS is usable")

    def every(batches: int) -> Arm:
        step = training(device)

        def steps() -> None:
            for batch in range(20):
                step()
                if batches and (batch + 1) % batches == 0:
                    empty()

        return timed(steps, 1)

    return {
        "never": lambda: every(0),
        "every 10 batches": lambda: every(10),
        "after each batch": lambda: every(1),
    }


def synchronize(device: torch.device) -> Builders:
    """How much memory is held without synchronizing?"""
    if device.type != "mps":
        raise UserError("this measures how far MPS memory grows", "run it where MPS is usable")
    model = TwoBranchCNN().to(device)
    views = [torch.randn(BATCH, 1, bins, device=device) for bins in (2001, 201)]
    optimizer = torch.optim.AdamW(model.parameters())

    def every(batches: int) -> Arm:
        def arm() -> Figures:
            torch.mps.synchronize()
            torch.mps.empty_cache()
            most = 0
            for batch in range(100):
                optimizer.zero_grad()
                model(*views).square().mean().backward()
                optimizer.step()
                if batches and batch % batches == 0:
                    torch.mps.synchronize()
                most = max(most, torch.mps.driver_allocated_memory())
            torch.mps.synchronize()
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


def threads(device: torch.device) -> Builders:
    """How many CPU threads train fastest? On the CPU, whatever the device."""
    default = torch.get_num_threads()

    def of(number: int) -> Arm:
        step = training(torch.device("cpu"))

        def arm() -> Figures:
            torch.set_num_threads(number)
            return timed(step)()

        return arm

    wanted = dict.fromkeys((default, 1, 4, os.cpu_count() or 1))
    return {f"{number} threads": functools.partial(of, number) for number in wanted}


CHILD = """
import json, resource, sys, time
sys.path.insert(0, {source!r})
import torch
from metalassay.workloads import registry as workloads
device = torch.device({device!r})
if {zero}:
    torch.zeros(1, device=device)
    getattr(torch, device.type).synchronize()
step = workloads.make(workloads.get("transit-cnn"), "train", device, "float32", {batch}).step
started = time.perf_counter()
step()
first = time.perf_counter() - started
ready = time.time()
cpu, wall = time.process_time(), time.perf_counter()
for _ in range(10): step()
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([ready, first, cpu, wall, peak]))
"""


def child(device: torch.device, environment: dict[str, str], zero: bool = False) -> Arm:
    """Return an arm that trains in a process of its own with these environment variables."""
    clean = {name: value for name, value in os.environ.items() if name not in GUIDE_000}
    source = str(Path(registry.__file__).parents[2])
    code = CHILD.format(source=source, device=device.type, zero=zero, batch=BATCH)

    def arm() -> Figures:
        started = time.time()
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=clean | environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        ready, first, cpu, wall, peak = json.loads(done.stdout)
        return {
            "seconds to the end of the first step": ready - started,
            "first step / later step": first / (wall / 10),
            "milliseconds a step": wall / 10 * 1e3,
            "CPU %, of all cores": 100 * cpu / wall / (psutil.cpu_count() or 1),
            "MB at most": peak / 1e6,
        }

    return arm


def environment(device: torch.device) -> Builders:
    """What do guide 000's variables change?"""
    return {"none": lambda: child(device, {}), "guide 000": lambda: child(device, GUIDE_000)}


def warm_up(device: torch.device) -> Builders:
    """Does one zero on the device warm it up?"""
    if device.type == "cpu":
        raise UserError("the CPU needs no such warm-up", "run it where MPS is usable")
    return {
        "unchanged": lambda: child(device, {}),
        "one zero before": lambda: child(device, {}, zero=True),
    }


EXPERIMENTS = {
    "empty-cache": empty_cache,
    "environment": environment,
    "kernels": kernels,
    "layer-norm": layer_norm,
    "mixed-precision": mixed_precision,
    "synchronize": synchronize,
    "threads": threads,
    "warm-up": warm_up,
    "workers": workers,
}
