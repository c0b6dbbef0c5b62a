"""The workloads in MLX: the same model, batch, loss and optimiser as in ``registry``, as MLX's users write them.

The recipes stay PyTorch's: it makes the weights and the batch from the seed, and both are copied over, so that
every framework begins with the same numbers. The step is the one of MLX's documentation and examples:
``nn.value_and_grad``, compiled by ``mx.compile`` with the state of model, optimiser and random numbers as its
inputs and outputs, then ``mx.eval``. MLX computes nothing before somebody asks for it, so that a step
without ``mx.eval`` would time the building of a graph.

MLX computes on its GPU where it has one, a Mac's, and on the CPU elsewhere; its wheels for Linux bring
the reference BLAS, and one thread. So a time on Linux says nothing about a Mac.
"""

from __future__ import annotations

import copy
import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from metalassay.errors import UserError
from metalassay.machine.process_memory import peak_rss
from metalassay.workloads.identity import identity
from metalassay.workloads.models import tiny_gpt
from metalassay.workloads.models.two_branch_cnn import TwoBranchCNNConfig
from metalassay.workloads.registry import (
    MODES,
    SMALLEST_SCALE,
    TOLERANCE,
    Batch,
    Recipe,
    Workload,
)

if TYPE_CHECKING:
    import mlx.core as mx
    from mlx import nn

FRAMEWORK = "mlx"
DTYPE = "float32"
"""MLX has no autocast: its users train in the dtype of the weights, which would be another computation."""
INSTALL = "pip install 'metalassay[mlx]'"
_THREADS = 1  # a stream of MLX's CPU backend is a thread


@dataclass(frozen=True)
class Arrays:
    """A batch as arrays of MLX, in its layout."""

    inputs: tuple[mx.array, ...]
    target: mx.array


def missing() -> str:
    """Return why nothing runs in MLX here, "" if it does."""
    if importlib.util.find_spec("mlx") is None:
        return f"mlx is not installed: {INSTALL}"
    try:
        import mlx.core as mx

        total = mx.sum(mx.ones((8, 8)) @ mx.ones((8, 8))).item()
    except (
        ImportError,
        RuntimeError,
    ) as error:  # no library for this machine, or no GPU that works
        return f"mlx cannot be used here: {str(error).partition(chr(10))[0]}"
    return "" if total == 512 else f"mlx computes a product of two matrices of ones as {total}"


def device(wanted: str) -> torch.device:
    """Return where MLX computes if ``wanted`` is "cpu", "mps" or "auto", and make it MLX's default device.

    The name is PyTorch's for the same hardware: "mps" is the GPU of a Mac. Raises ``UserError`` where MLX
    does not run, or has no such device.
    """
    if why := missing():
        raise UserError(why, INSTALL)
    import mlx.core as mx

    gpu = mx.metal.is_available()
    if wanted not in ("auto", "cpu", "mps"):
        raise UserError(f"mlx is not timed on {wanted}", "use --device cpu, or mps on a Mac")
    if wanted == "mps" and not gpu:
        raise UserError("mlx finds no Metal GPU here", "use --device cpu")
    on_gpu = gpu and wanted != "cpu"
    mx.set_default_device(mx.gpu if on_gpu else mx.cpu)
    return torch.device("mps" if on_gpu else "cpu")


def make(
    recipe: Recipe,
    mode: str,
    where: torch.device,
    batch_size: int,
    seed: int = 0,
    *,
    compiled: bool = True,
) -> Workload:
    """Build ``recipe`` in MLX in ``mode`` "train" or "infer", in float32; ``where`` is from ``device``.

    Without ``compiled`` the step is not given to ``mx.compile``. Raises ``UserError`` for an unknown mode, or
    a recipe that MLX has no model for.
    """
    if mode not in MODES:
        raise UserError(f"unknown {mode!r}", f"choose one of {', '.join(MODES)}")
    if recipe.name not in _MODELS:
        raise UserError(f"{recipe.name} has no model in mlx", f"choose one of {', '.join(_MODELS)}")
    original = build(recipe, seed)
    batch = recipe.batch(batch_size, torch.Generator().manual_seed(seed))
    model = converted(recipe, original)
    arrays = to_arrays(batch)
    prepare = _training if mode == "train" else partial(_inference, original, batch)
    step, check = prepare(recipe, model, arrays, compiled)
    return Workload(
        name=recipe.name,
        mode=mode,
        device=where,
        dtype=DTYPE,
        batch_size=batch_size,
        unit=recipe.unit,
        items_per_call=batch_size * recipe.items_per_sample,
        parameters=count_parameters(model),
        threads=_THREADS,
        identity=identify(recipe, mode, compiled=compiled),
        step=step,
        check=check,
        framework=FRAMEWORK,
        memory=memory,
    )


def identify(recipe: Recipe, mode: str, *, compiled: bool = True) -> str:
    """Return the identity of what is timed; see ``metalassay.workloads.identity``."""
    model = _MODELS[recipe.name]
    parts = (model.build, to_arrays, recipe.build, recipe.batch, recipe.items_per_sample, compiled)
    if mode == "infer":
        return identity(inference_step, *parts)
    return identity(training_step, *parts, model.loss, recipe.learning_rate)


def build(recipe: Recipe, seed: int = 0) -> torch.nn.Module:
    """Return PyTorch's model of ``recipe`` with the weights that every framework begins with."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return recipe.build()


def converted(recipe: Recipe, original: torch.nn.Module) -> nn.Module:
    """Return the model of ``recipe`` in MLX with the weights of ``original``."""
    import mlx.core as mx

    model = _MODELS[recipe.name].build()
    model.load_weights(list(weights(original.state_dict()).items()), strict=True)
    mx.eval(model.parameters())
    return model


def weights(state: Mapping[str, torch.Tensor]) -> dict[str, mx.array]:
    """Return PyTorch's parameters, or gradients, under the names and in the layout of MLX.

    A module inside an ``nn.Sequential`` of MLX is below ``layers``. A convolution's weight has its input
    channels last there: (out, width, in) where PyTorch has (out, in, width).
    """
    import mlx.core as mx

    arrays = {}
    for name, tensor in state.items():
        values = tensor.detach().cpu()
        if values.ndim == 3:
            values = values.transpose(1, 2).contiguous()
        head, *rest = name.split(".")
        inside = [head, "layers", *rest] if rest and rest[0].isdigit() else [head, *rest]
        arrays[".".join(inside)] = mx.array(values.numpy())
    return arrays


def unconverted(arrays: Mapping[str, mx.array]) -> dict[str, torch.Tensor]:
    """Return parameters, or gradients, of MLX under the names and in the layout of PyTorch."""
    tensors = {}
    for name, array in arrays.items():
        values = to_tensor(array)
        tensors[name.replace(".layers.", ".")] = (
            values.transpose(1, 2) if values.ndim == 3 else values
        )
    return tensors


def to_arrays(batch: Batch) -> Arrays:
    """Return a batch as arrays of MLX: light curves with their channel last, tokens as int32."""
    import mlx.core as mx

    def array(tensor: torch.Tensor) -> mx.array:
        if tensor.ndim == 3:
            tensor = tensor.transpose(1, 2).contiguous()  # (B, 1, bins) -> (B, bins, 1)
        if tensor.dtype == torch.int64:
            tensor = tensor.to(torch.int32)
        return mx.array(tensor.numpy())

    arrays = Arrays(tuple(map(array, batch.inputs)), array(batch.target))
    mx.eval(arrays.inputs, arrays.target)
    return arrays


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    from mlx.utils import tree_flatten

    return sum(array.size for _, array in tree_flatten(model.trainable_parameters()))


def memory() -> dict[str, int | None]:
    """Return bytes, as ``measure.device.memory`` does: held by arrays, and by MLX's allocator in all."""
    import mlx.core as mx

    on_gpu = mx.default_device() == mx.gpu
    live = mx.get_active_memory() if on_gpu else None
    driver = mx.get_active_memory() + mx.get_cache_memory() if on_gpu else None
    return {"live": live, "driver": driver, "peak_rss": peak_rss()}


def wait() -> None:
    """Wait until MLX's default device has finished all that was asked for."""
    import mlx.core as mx

    mx.synchronize()


def version() -> str:
    """Return the version of MLX."""
    import mlx.core as mx

    return str(mx.__version__)


def optimizer(recipe: Recipe, eps: float = 1e-8) -> Any:
    """Return AdamW with the hyperparameters of PyTorch's; MLX's own default leaves out the bias correction."""
    from mlx import optimizers

    return optimizers.AdamW(
        learning_rate=recipe.learning_rate,
        betas=[0.9, 0.999],
        eps=eps,
        weight_decay=0.01,
        bias_correction=True,
    )


def training_step(
    recipe: Recipe, model: nn.Module, compiled: bool, eps: float = 1e-8
) -> Callable[[Arrays], mx.array]:
    """Return the function that trains ``model`` on a batch, waits for the result, and returns the loss."""
    import mlx.core as mx
    from mlx import nn

    adam = optimizer(recipe, eps)
    adam.init(model.trainable_parameters())
    loss = _MODELS[recipe.name].loss
    loss_and_gradients = nn.value_and_grad(
        model, lambda *inputs, target: loss(model(*inputs), target)
    )
    state = [model.state, adam.state, mx.random.state]

    def update(inputs: tuple[mx.array, ...], target: mx.array) -> mx.array:
        value, gradients = loss_and_gradients(*inputs, target=target)
        adam.update(model, gradients)
        return value

    run = mx.compile(update, inputs=state, outputs=state) if compiled else update

    def step(batch: Arrays) -> mx.array:
        value = run(batch.inputs, batch.target)
        mx.eval(value, state)
        return value

    return step


def loss_of(recipe: Recipe, logits: mx.array, target: mx.array) -> mx.array:
    """Return the loss of ``recipe``."""
    return _MODELS[recipe.name].loss(logits, target)


def inference_step(model: nn.Module, batch: Arrays, compiled: bool) -> Callable[[], mx.array]:
    """Return the function that computes the logits of ``batch``, and waits for them."""
    import mlx.core as mx

    run = mx.compile(model) if compiled else model

    def step() -> mx.array:
        logits = run(*batch.inputs)
        mx.eval(logits)
        return logits

    return step


def _training(
    recipe: Recipe, model: nn.Module, batch: Arrays, compiled: bool
) -> tuple[Callable[[], mx.array], Callable[[], None]]:
    def loss_without_dropout() -> float:
        model.eval()
        value = loss_of(recipe, model(*batch.inputs), batch.target).item()
        model.train()
        return float(value)

    model.train()
    before = loss_without_dropout()
    step = training_step(recipe, model, compiled)

    def check() -> None:
        after = loss_without_dropout()
        if not (math.isfinite(after) and after < before):
            raise AssertionError(f"training did not lower the loss: {before:.6g} -> {after:.6g}")

    return partial(step, batch), check


def _inference(
    original: torch.nn.Module,
    torch_batch: Batch,
    recipe: Recipe,
    model: nn.Module,
    batch: Arrays,
    compiled: bool,
) -> tuple[Callable[[], mx.array], Callable[[], None]]:
    reference = copy.deepcopy(original).eval()
    step = inference_step(model.eval(), batch, compiled)

    def check() -> None:
        with torch.inference_mode():
            expected = reference(*torch_batch.inputs)
        scale = expected.abs().max().clamp(min=SMALLEST_SCALE)
        error = ((to_tensor(step()) - expected).abs().max() / scale).item()
        if not error <= TOLERANCE[DTYPE]:  # true for NaN too
            raise AssertionError(
                f"logits of mlx are off by {error:.3g} of the largest logit of PyTorch on the CPU; "
                f"{TOLERANCE[DTYPE]:g} is allowed"
            )

    return step, check


def to_tensor(array: mx.array) -> torch.Tensor:
    """Return a copy of an array as a tensor on the CPU."""
    import numpy as np

    return torch.from_numpy(np.array(array))


@dataclass(frozen=True)
class _Model:
    build: Callable[[], nn.Module]
    loss: Callable[[mx.array, mx.array], mx.array]


def _cnn() -> nn.Module:
    from metalassay.workloads.models.mlx_two_branch_cnn import TwoBranchCNN

    return TwoBranchCNN(TwoBranchCNNConfig())


def _transit_loss(logits: mx.array, target: mx.array) -> mx.array:
    from mlx import nn

    return nn.losses.binary_cross_entropy(logits.squeeze(1), target)


def _gpt(config: tiny_gpt.TinyGPTConfig) -> nn.Module:
    from metalassay.workloads.models.mlx_tiny_gpt import TinyGPT

    return TinyGPT(config)


def _next_token_loss(logits: mx.array, target: mx.array) -> mx.array:
    from mlx import nn

    return nn.losses.cross_entropy(logits, target, reduction="mean")


_MODELS = {
    "transit-cnn": _Model(_cnn, _transit_loss),
    "gpt-tiny": _Model(partial(_gpt, tiny_gpt.TINY), _next_token_loss),
    "gpt-small": _Model(partial(_gpt, tiny_gpt.SMALL), _next_token_loss),
    "gpt-original": _Model(partial(_gpt, tiny_gpt.ORIGINAL), _next_token_loss),
}
NAMES = tuple(_MODELS)
"""The workloads that have a model in MLX."""
