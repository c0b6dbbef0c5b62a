"""The workloads of the benchmarks: one training step or one inference of a model on a fixed batch.

``WORKLOADS`` is the table of recipes, and ``make`` builds one on a device. The ``step`` of a workload
ends in a synchronize, so that a clock around it includes the work and not just its submission; its
``check`` tells afterwards whether the results were right.
"""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from metalassay.errors import UserError
from metalassay.fields import first_line
from metalassay.measure.device import synchronize
from metalassay.workloads.identity import identity
from metalassay.workloads.models import tiny_gpt
from metalassay.workloads.models.two_branch_cnn import TwoBranchCNN, TwoBranchCNNConfig

MODES = ("train", "infer")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2, "float16": 1e-2}
"""Largest error of a logit relative to the largest logit: some ten roundings to the dtype.

For float32 it allows TF32, to which CUDA rounds the inputs of convolutions.
"""
# A smaller largest logit is due to cancellation, and its error does not shrink.
SMALLEST_SCALE = 0.1


@dataclass(frozen=True)
class Batch:
    """The data of one call: the inputs of the model and its targets, batch first."""

    inputs: tuple[Tensor, ...]
    target: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return a copy on ``device``."""
        return Batch(tuple(x.to(device) for x in self.inputs), self.target.to(device))


@dataclass(frozen=True)
class Recipe:
    """One row of the table; ``batch_sizes`` are benchmarked by default.

    A batch of B samples has B * ``items_per_sample`` items of ``unit``. ``build`` and ``batch`` must be
    named functions or a ``functools.partial`` of one: the identity follows what they refer to.
    """

    name: str
    build: Callable[[], nn.Module]
    batch: Callable[[int, torch.Generator], Batch]
    loss: Callable[[Tensor, Tensor], Tensor]
    unit: str
    items_per_sample: int
    batch_sizes: tuple[int, ...]
    learning_rate: float


@dataclass(frozen=True)
class Workload:
    """A model and a batch on ``device``, ready to run.

    ``step()`` does the work once and waits for the device; it returns the loss (train) or the
    logits (infer), still on the device; a step of a trainer of TRL returns None. ``check()`` raises ``AssertionError`` if the results are
    wrong; call it after at least three steps, and do not time it. ``threads`` is torch's number of
    intra-op threads when the workload was built. ``framework`` is "torch" or "mlx"; another one than torch has a
    ``memory`` of its own, which returns what ``measure.device.memory`` does.
    """

    name: str
    mode: str
    device: torch.device
    dtype: str
    batch_size: int
    unit: str
    items_per_call: int
    parameters: int
    threads: int
    identity: str
    step: Callable[[], Any]
    check: Callable[[], None]
    framework: str = "torch"
    memory: Callable[[], dict[str, int | None]] | None = None


def get(name: str) -> Recipe:
    """Return the recipe called ``name``. Raises ``UserError`` for an unknown one."""
    if name not in WORKLOADS:
        raise UserError(f"unknown workload {name!r}", f"choose one of {', '.join(WORKLOADS)}")
    return WORKLOADS[name]


def make(
    recipe: Recipe, mode: str, device: torch.device, dtype: str, batch_size: int, seed: int = 0
) -> Workload:
    """Build the workload of ``recipe`` in ``mode`` "train" or "infer".

    A ``dtype`` other than "float32" runs under ``torch.autocast``; weights stay float32. Weights
    and batch depend on ``seed`` alone, not on the device. Raises ``UserError`` for an unknown mode
    or dtype, and if this torch does not support it on ``device``.
    """
    for value, known in ((mode, MODES), (dtype, DTYPES)):
        if value not in known:
            raise UserError(f"unknown {value!r}", f"choose one of {', '.join(known)}")
    if batch_size < 1:
        raise UserError(f"a batch of {batch_size}", "use at least 1 sample")
    if dtype != "float32":
        require_autocast(device, dtype)
    if dtype == "float16" and mode == "train":
        require_grad_scaler(device)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay unchanged
        torch.default_generator.manual_seed(seed)
        model = recipe.build()
    batch = recipe.batch(batch_size, torch.Generator().manual_seed(seed))
    prepare = _training if mode == "train" else _inference
    step, check = prepare(recipe, model, batch, device, dtype)
    return Workload(
        name=recipe.name,
        mode=mode,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        unit=recipe.unit,
        items_per_call=batch_size * recipe.items_per_sample,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        threads=torch.get_num_threads(),
        identity=identify(recipe, mode),
        step=step,
        check=check,
    )


def identify(recipe: Recipe, mode: str) -> str:
    """Return the identity of what is timed in ``mode``, without batch size, dtype and device.

    Those three are recorded separately. See ``metalassay.workloads.identity``.
    """
    parts = (recipe.build, recipe.batch, recipe.items_per_sample)
    if mode == "infer":
        return identity(_inference_step, *parts)
    return identity(_training_step, *parts, recipe.loss, recipe.learning_rate)


def _training(
    recipe: Recipe, model: nn.Module, batch: Batch, device: torch.device, dtype: str
) -> tuple[Callable[[], Tensor], Callable[[], None]]:
    model.to(device).train()
    batch = batch.to(device)

    def loss_without_dropout() -> float:
        model.eval()
        with torch.no_grad():
            loss = recipe.loss(model(*batch.inputs), batch.target).item()
        model.train()
        return loss

    before = loss_without_dropout()

    def check() -> None:
        after = loss_without_dropout()
        if not (math.isfinite(after) and after < before):
            raise AssertionError(f"training did not lower the loss: {before:.6g} -> {after:.6g}")

    return _training_step(recipe, model, batch, device, dtype), check


def _training_step(
    recipe: Recipe, model: nn.Module, batch: Batch, device: torch.device, dtype: str
) -> Callable[[], Tensor]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == "float16")

    def step() -> Tensor:
        optimizer.zero_grad()
        with _precision(device, dtype):
            loss = recipe.loss(model(*batch.inputs), batch.target)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        loss = loss.detach()
        synchronize(device)
        return loss

    return step


def _inference(
    recipe: Recipe, model: nn.Module, batch: Batch, device: torch.device, dtype: str
) -> tuple[Callable[[], Tensor], Callable[[], None]]:
    reference, cpu_batch = copy.deepcopy(model).eval(), batch
    step = _inference_step(model.to(device).eval(), batch.to(device), device, dtype)

    def check() -> None:
        with torch.inference_mode():
            expected = reference(*cpu_batch.inputs)
        logits = step().to("cpu", torch.float32)
        scale = expected.abs().max().clamp(min=SMALLEST_SCALE)
        error = ((logits - expected).abs().max() / scale).item()
        if not error <= TOLERANCE[dtype]:  # true for NaN too
            raise AssertionError(
                f"logits in {dtype} on {device} are off by {error:.3g} of the largest float32 "
                f"logit on the CPU; {TOLERANCE[dtype]:g} is allowed"
            )

    return step, check


def _inference_step(
    model: nn.Module, batch: Batch, device: torch.device, dtype: str
) -> Callable[[], Tensor]:
    def step() -> Tensor:
        with torch.inference_mode(), _precision(device, dtype):
            logits: Tensor = model(*batch.inputs)
        synchronize(device)
        return logits

    return step


def _precision(device: torch.device, dtype: str) -> contextlib.AbstractContextManager[object]:
    if dtype == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[dtype])


def require_autocast(device: torch.device, dtype: str) -> None:
    """Raise ``UserError`` if torch would warn and use float32 (bfloat16 on MPS before torch 2.6)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _precision(device, dtype):
                enabled = torch.is_autocast_enabled(device.type)
    except RuntimeError as error:  # no autocast on the device, or not to this dtype
        raise UserError(str(error), "use --dtype float32") from error
    if not enabled:
        raise UserError(
            f"torch {torch.__version__} does not autocast to {dtype} on {device.type}",
            "use --dtype float32 or a newer torch",
        )


def require_grad_scaler(device: torch.device) -> None:
    """Try to unscale gradients; raise ``UserError`` if that fails (MPS before torch 2.8)."""
    weight = torch.ones(1, device=device, requires_grad=True)
    optimizer = torch.optim.SGD([weight])
    scaler = torch.amp.GradScaler(device.type)
    try:
        scaler.scale(weight.sum()).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
    except (RuntimeError, TypeError) as error:  # no kernel, or no float64, which the scaler needs
        raise UserError(
            f"torch {torch.__version__} cannot scale gradients on {device.type}: "
            + first_line(error),
            "train in --dtype bfloat16 or float32, or with a newer torch",
        ) from error


def _light_curves(batch_size: int, generator: torch.Generator) -> Batch:
    """Return flat, noisy light curves; every second one has a transit of random depth."""
    config = TwoBranchCNNConfig()
    transit = torch.arange(batch_size) % 2  # (B,)
    depth = transit * (0.5 + torch.rand(batch_size, generator=generator))  # (B,)
    views = []
    for bins, dip in ((config.global_bins, 21), (config.local_bins, 67)):
        view = 0.1 * torch.randn(batch_size, 1, bins, generator=generator)
        start = (bins - dip) // 2
        view[:, :, start : start + dip] -= depth[:, None, None]
        views.append(view)  # (B, 1, bins)
    return Batch(tuple(views), transit.float())


def _transit_loss(logits: Tensor, target: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits.squeeze(1), target)


def _random_text(
    config: tiny_gpt.TinyGPTConfig, batch_size: int, generator: torch.Generator
) -> Batch:
    shape = (batch_size, config.context + 1)
    tokens = torch.randint(config.vocabulary, shape, generator=generator)
    return Batch((tokens[:, :-1].contiguous(),), tokens[:, 1:].contiguous())


def _next_token_loss(logits: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, 1), target.flatten())


def _gpt(name: str, config: tiny_gpt.TinyGPTConfig) -> Recipe:
    return Recipe(
        name=name,
        build=partial(tiny_gpt.TinyGPT, config),
        batch=partial(_random_text, config),
        loss=_next_token_loss,
        unit="tokens",
        items_per_sample=config.context,
        batch_sizes=(4,),
        learning_rate=1e-3,
    )


_RECIPES = (
    Recipe(
        name="transit-cnn",
        build=TwoBranchCNN,
        batch=_light_curves,
        loss=_transit_loss,
        unit="samples",
        items_per_sample=1,
        batch_sizes=(4, 64),
        learning_rate=1e-3,
    ),
    _gpt("gpt-tiny", tiny_gpt.TINY),
    _gpt("gpt-small", tiny_gpt.SMALL),
    _gpt("gpt-original", tiny_gpt.ORIGINAL),
)
WORKLOADS = {recipe.name: recipe for recipe in _RECIPES}
"""All recipes by name, in the order of the tables."""
