from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from metalassay.errors import UserError
from metalassay.workloads import registry
from metalassay.workloads.models import tiny_gpt
from metalassay.workloads.registry import MODES, WORKLOADS, get, identify, make

CPU = torch.device("cpu")
# The largest takes seconds a step.
NAMES = [
    pytest.param(name, marks=pytest.mark.slow if name == "gpt-original" else ())
    for name in WORKLOADS
]


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes the name of each aten operation into a list."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names = names

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_a_step_synchronizes_once_at_its_end(
    monkeypatch: pytest.MonkeyPatch, name: str, mode: str
) -> None:
    workload = make(get(name), mode, CPU, "float32", 1)
    events: list[str] = []
    monkeypatch.setattr(
        registry, "synchronize", lambda device: events.append(f"synchronize {device}")
    )
    with Operations(events):
        workload.step()
    assert len(events) > 10
    assert events[-1] == "synchronize cpu"
    assert sum(event.startswith("synchronize") for event in events) == 1


@pytest.mark.parametrize(
    ("mode", "reads"),
    [
        ("infer", 0),
        ("train", 18),  # AdamW's step counters, one a parameter, which live on the host
    ],
)
def test_no_result_is_read_back_inside_a_step(mode: str, reads: int) -> None:
    workload = make(get("transit-cnn"), mode, CPU, "float32", 1)
    workload.step()
    events: list[str] = []
    with Operations(events):
        workload.step()
    assert sum("_local_scalar_dense" in event for event in events) <= reads
    assert not any("_to_copy" in event for event in events)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_three_steps_pass_the_check(name: str, mode: str) -> None:
    workload = make(get(name), mode, CPU, "float32", 1)
    for _ in range(3):
        result = workload.step()
    assert torch.isfinite(result).all()
    assert result.is_inference() == (mode == "infer")
    workload.check()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_passes_the_check(dtype: str, mode: str) -> None:
    workload = make(get("transit-cnn"), mode, CPU, dtype, 2)
    for _ in range(3):
        result = workload.step()
    if mode == "infer":
        assert result.dtype == registry.DTYPES[dtype]
    workload.check()


def test_training_that_does_not_lower_the_loss_fails_the_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workload = make(get("gpt-tiny"), "train", CPU, "float32", 1)
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: None)
    workload.step()
    with pytest.raises(AssertionError, match=r"did not lower the loss: 5\.\d+ -> 5\.\d+"):
        workload.check()


def test_training_that_diverges_fails_the_check() -> None:
    recipe = dataclasses.replace(get("gpt-tiny"), learning_rate=math.inf)
    workload = make(recipe, "train", CPU, "float32", 1)
    workload.step()
    with pytest.raises(AssertionError, match=r"5\.\d+ -> nan"):
        workload.check()


class Spoilt(tiny_gpt.TinyGPT):
    """Right when first called, as the reference is; spoilt from the second call on."""

    def __init__(self, spoil: Callable[[Tensor], Tensor]) -> None:
        super().__init__(tiny_gpt.TINY)
        self.spoil = spoil
        self.calls = 0

    def forward(self, tokens: Tensor) -> Tensor:
        self.calls += 1
        logits = super().forward(tokens)
        return logits if self.calls == 1 else self.spoil(logits)


@pytest.mark.parametrize(
    ("spoil", "caught"),
    [
        pytest.param(lambda logits: logits * 1.0001, False, id="rounding"),
        pytest.param(lambda logits: logits * 1.01, True, id="1 % off"),
        pytest.param(lambda logits: logits.flip(-1), True, id="wrong order"),
        pytest.param(lambda logits: logits * math.nan, True, id="nan"),
    ],
)
def test_wrong_logits_fail_the_check(spoil: Callable[[Tensor], Tensor], caught: bool) -> None:
    recipe = dataclasses.replace(get("gpt-tiny"), build=partial(Spoilt, spoil))
    workload = make(recipe, "infer", CPU, "float32", 1)
    workload.step()
    if not caught:
        workload.check()
        return
    with pytest.raises(AssertionError, match=r"logits in float32 on cpu are off by \S+ of"):
        workload.check()


@pytest.mark.parametrize(
    ("name", "unit", "items", "parameters"),
    [
        ("transit-cnn", "samples", 3, 42_113),
        ("gpt-tiny", "tokens", 3 * 64, 13_568),
        ("gpt-small", "tokens", 3 * 128, 65_568),
        ("gpt-original", "tokens", 3 * 256, 2_526_240),
    ],
)
def test_a_workload_has_its_unit_items_and_parameters(
    name: str, unit: str, items: int, parameters: int
) -> None:
    workload = make(get(name), "infer", CPU, "float32", 3)
    assert (workload.unit, workload.items_per_call, workload.parameters) == (
        unit,
        items,
        parameters,
    )
    assert workload.threads == torch.get_num_threads()
    assert workload.identity == identify(get(name), "infer")


def test_the_result_depends_on_the_seed_alone() -> None:
    def logits(seed: int) -> Tensor:
        found: Tensor = make(get("transit-cnn"), "infer", CPU, "float32", 2, seed).step()
        return found

    state = torch.get_rng_state()
    first = logits(0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(logits(0), first)
    assert not torch.equal(logits(1), first)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((get("gpt-tiny"), "eval", CPU, "float32", 1), "unknown 'eval' .*train, infer"),
        ((get("gpt-tiny"), "train", CPU, "float64", 1), "unknown 'float64' .*float32, bfloat16"),
        ((get("gpt-tiny"), "train", CPU, "float32", 0), "a batch of 0 "),
        # torch has no autocast for it
        ((get("gpt-tiny"), "infer", torch.device("meta"), "float16", 1), "unsupported .*'meta'"),
    ],
)
def test_an_invalid_workload_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(*arguments)


def test_an_unknown_workload_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown workload 'transit' .*transit-cnn, gpt-tiny"):
        get("transit")


def test_autocast_that_torch_disables_by_itself_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # torch 2.5 on MPS warns of bfloat16, then computes in float32
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device_type: False)
    with pytest.raises(UserError, match="does not autocast to bfloat16 on cpu"):
        make(get("gpt-tiny"), "infer", CPU, "bfloat16", 1)


def test_float16_training_without_a_working_scaler_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # torch before 2.8 on MPS
    def unscale(*_: object) -> None:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype\nsecond line")

    monkeypatch.setattr(torch.amp.GradScaler, "_unscale_grads_", unscale)
    with pytest.raises(
        UserError, match=r"cannot scale gradients on cpu: Cannot convert .*dtype \("
    ):
        make(get("gpt-tiny"), "train", CPU, "float16", 1)
    make(get("gpt-tiny"), "infer", CPU, "float16", 1)
