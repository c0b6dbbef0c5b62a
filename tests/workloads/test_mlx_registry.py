from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from metalassay.errors import UserError
from metalassay.workloads import mlx_registry
from metalassay.workloads.registry import MODES, WORKLOADS, Recipe, get, identify

WHY = mlx_registry.missing()
with_mlx = pytest.mark.skipif(bool(WHY), reason=WHY or "mlx is installed")
# Steps of MLX on a CPU take seconds but for the smallest model.
NAMES = [
    pytest.param(name, marks=pytest.mark.slow if name != "gpt-tiny" else ())
    for name in mlx_registry.NAMES
]
STEPS, SAMPLES = 20, 2
ALLOWED = {"transit-cnn": 1e-3}
"""Largest relative difference of a loss. MLX's AdamW computes its bias correction in float32, where
1 - 0.999 is off by 1.3e-5, and so is the first step; the CNN, whose loss falls to a fifth in twenty steps,
shows that as 3.1e-4. With that correction in PyTorch too, ``ALLOWED_OF_ROUNDING`` is enough."""
ALLOWED_OF_A_GPT = 3e-6
ALLOWED_OF_ROUNDING = 1e-5
"""PyTorch's losses in float32 are up to 1.3e-6 off those in float64 for the CNN, and 1.5e-7 for the GPTs."""


@pytest.fixture(autouse=True)
def on_the_cpu() -> None:
    if not WHY:
        mlx_registry.device("cpu")


class AdamWOfMlx(torch.optim.Optimizer):
    """AdamW in PyTorch with its bias correction in float32, as MLX computes it."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, {"lr": lr})
        self.done = 0

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        self.done += 1
        number = torch.tensor(float(self.done))
        for group in self.param_groups:
            rate = group["lr"] / (1 - torch.tensor(0.9) ** number)
            root = torch.rsqrt(1 - torch.tensor(0.999) ** number)
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["m"], state["v"] = map(torch.zeros_like, (parameter, parameter))
                state["m"].mul_(0.9).add_(0.1 * parameter.grad)
                state["v"].mul_(0.999).add_(0.001 * parameter.grad**2)
                parameter.mul_(1 - group["lr"] * 0.01)
                parameter.sub_(rate * state["m"] / (state["v"].sqrt() * root + 1e-8))


def torch_losses(
    recipe: Recipe, steps: int, optimizer: Callable[..., Any] = torch.optim.AdamW
) -> list[float]:
    """Train on ``steps`` batches, the one of seed 0 first, without dropout; return the losses."""
    model = mlx_registry.build(recipe).eval()
    adam = optimizer(model.parameters(), lr=recipe.learning_rate)
    losses = []
    for seed in range(steps):
        batch = recipe.batch(SAMPLES, torch.Generator().manual_seed(seed))
        adam.zero_grad()
        loss = recipe.loss(model(*batch.inputs), batch.target)
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        losses.append(loss.item())
    return losses


def mlx_losses(
    recipe: Recipe, steps: int, *, compiled: bool, seeds: Callable[[int], int] = lambda step: step
) -> list[float]:
    """Do the same in MLX."""
    model = mlx_registry.converted(recipe, mlx_registry.build(recipe)).eval()
    step = mlx_registry.training_step(recipe, model, compiled)
    losses = []
    for number in range(steps):
        batch = recipe.batch(SAMPLES, torch.Generator().manual_seed(seeds(number)))
        losses.append(float(step(mlx_registry.to_arrays(batch)).item()))
    return losses


def farthest(losses: list[float], others: list[float]) -> float:
    return max(abs(a - b) / abs(b) for a, b in zip(losses, others, strict=True))


@with_mlx
@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "plain"])
@pytest.mark.parametrize("name", NAMES)
def test_the_losses_of_twenty_steps_are_those_of_pytorch(name: str, compiled: bool) -> None:
    recipe = get(name)
    off = farthest(mlx_losses(recipe, STEPS, compiled=compiled), torch_losses(recipe, STEPS))
    assert off <= ALLOWED.get(name, ALLOWED_OF_A_GPT)


@with_mlx
@pytest.mark.slow
def test_what_differs_is_the_bias_correction_in_float32() -> None:
    recipe = get("transit-cnn")
    with_it = torch_losses(recipe, STEPS, AdamWOfMlx)
    assert farthest(mlx_losses(recipe, STEPS, compiled=True), with_it) <= ALLOWED_OF_ROUNDING
    assert farthest(torch_losses(recipe, STEPS), with_it) > 1e-4


@with_mlx
def test_batches_out_of_order_are_noticed() -> None:
    recipe = get("gpt-tiny")
    mixed = mlx_losses(recipe, 4, compiled=False, seeds=lambda step: (1, 0, 2, 3)[step])
    assert farthest(mixed, torch_losses(recipe, 4)) > ALLOWED_OF_A_GPT


@with_mlx
def test_adam_without_the_bias_correction_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlx import optimizers

    recipe = get("gpt-tiny")
    monkeypatch.setattr(
        mlx_registry, "optimizer", lambda *_: optimizers.AdamW(learning_rate=recipe.learning_rate)
    )
    assert farthest(mlx_losses(recipe, 4, compiled=False), torch_losses(recipe, 4)) > 1e-4


@with_mlx
@pytest.mark.parametrize(("gelu", "allowed"), [("gelu", True), ("gelu_approx", False)])
def test_the_gelu_is_the_exact_one(
    gelu: str, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlx import nn

    recipe = get("gpt-tiny")
    original = mlx_registry.build(recipe).eval()
    with torch.no_grad():
        for parameter in original.parameters():
            parameter.mul_(10)  # at first they are so small that every gelu is nearly linear
    model = mlx_registry.converted(recipe, original)
    batch = recipe.batch(SAMPLES, torch.Generator().manual_seed(0))
    expected = original(*batch.inputs)
    monkeypatch.setattr(nn, "gelu", getattr(nn, gelu))
    logits = mlx_registry.to_tensor(model(*mlx_registry.to_arrays(batch).inputs))
    error = ((logits - expected).abs().max() / expected.abs().max()).item()
    assert (error < 1e-4) is allowed


@with_mlx
@pytest.mark.parametrize("name", mlx_registry.NAMES)
def test_a_model_has_the_parameters_and_weights_of_pytorch(name: str) -> None:
    from mlx.utils import tree_flatten

    original = mlx_registry.build(get(name))
    model = mlx_registry.converted(get(name), original)
    back = mlx_registry.unconverted(dict(tree_flatten(model.parameters())))
    assert mlx_registry.count_parameters(model) == sum(
        parameter.numel() for parameter in original.parameters()
    )
    assert back.keys() == original.state_dict().keys()
    assert all(torch.equal(back[key], value) for key, value in original.state_dict().items())


@with_mlx
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_three_steps_pass_the_check(name: str, mode: str) -> None:
    workload = mlx_registry.make(get(name), mode, torch.device("cpu"), 1)
    for _ in range(3):
        workload.step()
    workload.check()
    assert (workload.framework, workload.dtype, workload.threads) == ("mlx", "float32", 1)


@with_mlx
def test_dropout_is_on_in_a_timed_step_and_differs_from_step_to_step() -> None:
    import mlx.core as mx

    recipe = get("transit-cnn")
    model = mlx_registry.converted(recipe, mlx_registry.build(recipe)).train()
    batch = mlx_registry.to_arrays(recipe.batch(2, torch.Generator().manual_seed(0)))
    mx.random.seed(0)
    # Without learning the loss differs by dropout alone; a compiled step must draw anew each time.
    step = mlx_registry.training_step(
        Recipe(**{**vars(recipe), "learning_rate": 0.0}), model, compiled=True
    )
    assert step(batch).item() != step(batch).item()


@with_mlx
def test_training_that_does_not_lower_the_loss_fails_the_check() -> None:
    recipe = Recipe(**{**vars(get("gpt-tiny")), "learning_rate": 0.0})
    workload = mlx_registry.make(recipe, "train", torch.device("cpu"), 1)
    workload.step()
    with pytest.raises(AssertionError, match="did not lower the loss"):
        workload.check()


@with_mlx
def test_wrong_logits_fail_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = mlx_registry.make(get("gpt-tiny"), "infer", torch.device("cpu"), 1)
    monkeypatch.setattr(mlx_registry, "to_tensor", lambda array: torch.zeros(1, 64, 372))
    with pytest.raises(AssertionError, match="logits of mlx are off by"):
        workload.check()


@with_mlx
@pytest.mark.parametrize("mode", MODES)
def test_a_step_ends_with_its_results_computed(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlx.core as mx

    evaluated: list[Any] = []
    eval_ = mx.eval

    def recording(*trees: Any) -> None:
        evaluated.extend(trees)
        eval_(*trees)

    monkeypatch.setattr(mx, "eval", recording)
    workload = mlx_registry.make(get("gpt-tiny"), mode, torch.device("cpu"), 1)
    evaluated.clear()
    result = workload.step()
    assert any(tree is result for tree in evaluated)
    if mode == "train":  # and the model's and the optimiser's state, on which the next step builds
        assert any(isinstance(tree, list) and len(tree) == 3 for tree in evaluated)


@with_mlx
def test_the_gpu_is_refused_where_mlx_finds_none() -> None:
    import mlx.core as mx

    if mx.metal.is_available():
        pytest.skip("mlx has a GPU here")
    assert mlx_registry.device("auto") == torch.device("cpu")
    with pytest.raises(UserError, match="mlx finds no Metal GPU here"):
        mlx_registry.device("mps")
    with pytest.raises(UserError, match="mlx is not timed on cuda"):
        mlx_registry.device("cuda")


def test_a_machine_without_mlx_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="mlx is not installed: pip install 'metalassay\\[mlx\\]'"):
        mlx_registry.device("auto")


def test_what_mlx_has_no_model_for_is_refused() -> None:
    recipe = Recipe(**{**vars(get("gpt-tiny")), "name": "rlhf-sft"})
    with pytest.raises(UserError, match="rlhf-sft has no model in mlx"):
        mlx_registry.make(recipe, "train", torch.device("cpu"), 1)
    with pytest.raises(UserError, match="unknown 'both'"):
        mlx_registry.make(get("gpt-tiny"), "both", torch.device("cpu"), 1)


def test_the_workloads_of_mlx_are_those_of_pytorch() -> None:
    assert tuple(WORKLOADS) == mlx_registry.NAMES


@with_mlx
def test_identities_differ_from_pytorchs_and_by_what_is_timed() -> None:
    identities = {
        (name, mode, compiled): mlx_registry.identify(get(name), mode, compiled=compiled)
        for name in mlx_registry.NAMES
        for mode in MODES
        for compiled in (True, False)
    }
    of_torch = {identify(get(name), mode) for name in WORKLOADS for mode in MODES}
    assert len(set(identities.values())) == len(identities)
    assert not of_torch & set(identities.values())


@with_mlx  # whose models it reads
def test_the_identities_of_all_workloads_are_pinned() -> None:
    """A change here makes all earlier figures of MLX incomparable: is that meant?"""
    today = {
        f"{name} {mode}": mlx_registry.identify(get(name), mode)
        for name in mlx_registry.NAMES
        for mode in MODES
    }
    assert today == {
        "transit-cnn train": "ast1-4d5c3625d4a5",
        "transit-cnn infer": "ast1-d84c73dd4169",
        "gpt-tiny train": "ast1-9fe69adf9415",
        "gpt-tiny infer": "ast1-3a59d9645dce",
        "gpt-small train": "ast1-810eb366b9fb",
        "gpt-small infer": "ast1-ddfb3117f8d0",
        "gpt-original train": "ast1-71be33baef56",
        "gpt-original infer": "ast1-921624d3a793",
    }


def test_nothing_imports_mlx_before_it_is_used() -> None:
    program = (
        "import sys, metalassay.workloads.mlx_registry as m, metalassay.workloads.mlx_parity;"
        "sys.exit('mlx' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
